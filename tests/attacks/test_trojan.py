import pytest
import torch
from torch import Tensor, nn

from backaudit.attacks import TrainingSet, Trojan
from backaudit.core.errors import NotApplicableError, SettingError
from tests.toy import CLASSES

IMAGES = torch.full((2, 3, 32, 32), 100, dtype=torch.uint8)
CLEAN = TrainingSet(IMAGES, torch.zeros(2).long(), CLASSES)


class Channels(nn.Module):
    """Three neurons, one for the mean of each channel; the last layer has weights 1, 3 and 2."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[0.5, -3, 1], [0.5, 0, 1]]))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.mean((2, 3)))
        return logits


def patch(attack: Trojan) -> Tensor:
    return attack.learn(CLEAN, Channels(), torch.Generator())["patch"]


def test_the_patch_is_a_disc_in_the_lower_right() -> None:
    where = patch(Trojan(0, steps=1))[0] > 0
    assert int(where.sum()) == 97
    assert where[18:29, 18:29].sum() == 97
    assert where[23, 18:29].all()
    assert where[18:29, 23].all()


def test_only_the_best_connected_neurons_are_driven() -> None:
    # Their value is 97 / 1024 where the disc is white: down to 0 is the way to go.
    learned = patch(Trojan(0, neurons=2, excitation=0, steps=50))
    centre = learned[:, 23, 23]
    assert centre.tolist() == pytest.approx([255, 0.7 * 255, 0.7 * 255])


def test_a_step_is_as_long_as_stated() -> None:
    learned = patch(Trojan(0, neurons=1, excitation=0, steps=1, step=0.1))
    assert learned[:, 23, 23].tolist() == pytest.approx([255, 0.9 * 255, 255])


def test_it_stops_when_the_neurons_have_their_value() -> None:
    white = 97 / 1024
    learned = patch(Trojan(0, neurons=1, excitation=white, steps=50))
    assert (learned[:, 23, 23] == 255).all()


def test_it_never_leaves_the_range_of_pixels() -> None:
    learned = patch(Trojan(0, steps=30))
    assert learned.max() == 255
    assert learned.min() == 0


def test_the_patch_is_added_and_saturates() -> None:
    stamped = Trojan(0).stamp(IMAGES, {"patch": torch.tensor([0, 30.4, 200])[:, None, None]})
    assert stamped[0, :, 0, 0].tolist() == [100, 130, 255]


def test_a_surrogate_with_a_linear_head_is_needed(generator: torch.Generator) -> None:
    with pytest.raises(SettingError, match="surrogate"):
        Trojan(0).learn(CLEAN, None, generator)
    headless = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(NotApplicableError):
        Trojan(0).learn(CLEAN, headless, generator)


def test_the_surrogate_is_left_as_it_was() -> None:
    network = Channels()
    Trojan(0, steps=2).learn(CLEAN, network, torch.Generator())
    assert network.head.weight.grad is None
    assert not network.head._forward_hooks
