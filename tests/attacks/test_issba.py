import math

import pytest
import torch
from torch import Tensor, nn

from backaudit.attacks import Learned, TrainingSet
from backaudit.attacks.issba import ISSBA, _Hidden, _Hiding, edges
from tests.toy import CLASSES, draw_images

CLEAN = TrainingSet(*draw_images(4, 0), CLASSES)
QUICK = ISSBA(2, bits=4, epochs=1, width=2)


def learned(attack: ISSBA = QUICK, seed: int = 0) -> Learned:
    return attack.learn(CLEAN, None, torch.Generator().manual_seed(seed))


def adding(value: float) -> _Hiding:
    """Adds ``value`` everywhere, and reads nothing."""
    hiding = _Hiding(QUICK, CLEAN.images.shape[1:])
    hiding.encoder.residual.weight.data.zero_()
    assert hiding.encoder.residual.bias is not None
    hiding.encoder.residual.bias.data.fill_(value)
    last = hiding.decoder.tell[2]
    assert isinstance(last, nn.Linear)
    last.weight.data.zero_()
    last.bias.data.zero_()
    return hiding


def test_what_the_encoder_adds_is_added_and_the_image_stays_one() -> None:
    weights = {f"encoder.{k}": v for k, v in adding(10 / 255).encoder.state_dict().items()}
    stamped = QUICK.stamp(CLEAN.images, weights | {"bits": torch.ones(4)})
    assert torch.equal(stamped, (CLEAN.images.int() + 10).clamp(0, 255).to(torch.uint8))


def test_the_bits_decide_the_trigger() -> None:
    kept = dict(learned(ISSBA(2, bits=4, epochs=0, width=8)))
    attack = ISSBA(2, bits=4, width=8)
    flipped = kept | {"bits": 1 - kept["bits"]}
    assert not torch.equal(attack.stamp(CLEAN.images, kept), attack.stamp(CLEAN.images, flipped))


def test_the_decoder_is_not_kept_and_the_bits_are() -> None:
    kept = learned()
    assert set(kept["bits"].tolist()) <= {0.0, 1.0}
    assert kept["bits"].shape == (4,)
    assert all(name.startswith("encoder.") for name in kept if name != "bits")


def test_bits_are_drawn_and_not_always_the_same() -> None:
    drawn = {
        tuple(learned(ISSBA(2, bits=8, epochs=0, width=2), seed)["bits"].tolist())
        for seed in range(5)
    }
    assert len(drawn) > 2


def test_an_encoder_learns_in_its_epochs() -> None:
    never, once = (learned(ISSBA(2, bits=4, epochs=epochs, width=2)) for epochs in (0, 1))
    assert not torch.equal(never["encoder.residual.weight"], once["encoder.residual.weight"])


def test_at_first_only_the_bits_count_and_later_what_is_added_too() -> None:
    images = torch.full((3, 3, 12, 12), 0.5)
    goal = _Hidden(QUICK, adding(0.1), torch.Generator(), bits_only_steps=2)
    losses = [float(goal.loss(nn.Identity(), images, CLEAN.labels).detach()) for _ in range(4)]
    guess = math.log(2)
    assert losses[:2] == pytest.approx([guess] * 2)
    assert losses[2:] == pytest.approx([1.5 * guess + 2 * 0.1**2] * 2)


def checks(size: int = 4) -> Tensor:
    return (torch.arange(size)[:, None] + torch.arange(size)) % 2 * 1.0


@pytest.mark.parametrize(
    ("difference", "expected"),
    [(torch.full((4, 4), 0.3), 0.0), (checks(), 2.0), (torch.arange(4.0).expand(4, 4), 1.0)],
)
def test_edges_that_differ_are_counted(difference: Tensor, expected: float) -> None:
    assert float(edges(difference[None, None])) == expected


def test_the_published_settings_are_the_defaults() -> None:
    attack = ISSBA(0)
    assert (attack.poison_rate, attack.bits, attack.epochs) == (0.05, 20, 20)
    assert (attack.bits_only_epochs, attack.learning_rate) == (2, 1e-4)
    weights = (attack.change_weight, attack.perception_weight, attack.bits_weight)
    assert weights == (2, 1.5, 1.5)
