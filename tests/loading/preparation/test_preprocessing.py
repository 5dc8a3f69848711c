from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.suspect import Preprocessing
from backaudit.loading.clean_images.images import RawImages
from backaudit.loading.preparation.consistency import shifted
from backaudit.loading.preparation.conventions import UNIT, Convention, Stated, conventions
from backaudit.loading.preparation.preprocessing import choose_preprocessing
from tests.loading.samples import TintNet, raw, tinted, trained_on

IMAGES, LABELS = tinted(90)
NOTHING: Mapping[str, object] = {}


def usual(name: str) -> Convention:
    return next(convention for convention in conventions(3) if convention.name == name)


def chosen(network: nn.Module, images: RawImages, **stated: object) -> Preprocessing:
    metadata = stated.pop("metadata", NOTHING)
    input_size = stated.pop("input_size", None)
    return choose_preprocessing(network, 3, input_size, images, metadata, Stated(**stated))


class Prototypes(nn.Module):
    """No batch norm; knows the mean colour of each class in [-1, 1], and nothing beyond it."""

    def __init__(self) -> None:
        super().__init__()
        colours = (IMAGES.float() / 127.5 - 1).mean((2, 3))
        known = torch.stack([colours[label == LABELS].mean(0) for label in range(3)])
        self.colours = nn.Parameter(known)

    def forward(self, images: Tensor) -> Tensor:
        return -20 * torch.cdist(images.mean((2, 3)), self.colours).square()


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images]


@pytest.mark.parametrize("name", ["[0, 1]", "[-1, 1]", "imagenet", "gtsrb", "0 to 255"])
@pytest.mark.parametrize("labels", [LABELS, None])
def test_statistics_tell_the_convention(name: str, labels: Tensor | None) -> None:
    network = trained_on(IMAGES, usual(name))
    found = chosen(network, raw(IMAGES, labels))
    assert found.name == name
    assert found.size == (8, 8)
    assert "by batch-norm statistics: divergence 0.000" in found.how
    assert "next best" in found.how


def test_statistics_are_those_of_other_images_of_the_kind() -> None:
    network = trained_on(tinted(300, seed=1)[0], usual("imagenet"))
    assert chosen(network, raw(IMAGES)).name == "imagenet"


def test_black_borders_of_training_do_not_mislead() -> None:
    trained_with = (shifted(IMAGES.float() / 255) * 255).to(torch.uint8)
    network = trained_on(trained_with, usual("imagenet"))
    assert chosen(network, raw(IMAGES)).name == "imagenet"


def test_images_of_another_kind_are_noticed() -> None:
    network = trained_on(IMAGES, UNIT)
    noise = torch.randint(0, 2, (60, 3, 8, 8), generator=torch.Generator().manual_seed(0)) * 255
    assert "a poor fit" in chosen(network, raw(noise.to(torch.uint8))).how


def test_options_win_and_nothing_is_tried() -> None:
    network = trained_on(IMAGES, UNIT)
    stated = {"size": (16, 16), "mean": (0.5,), "std": (0.5,)}
    found = chosen(network, raw(IMAGES), **stated, metadata={"mean": [0.0] * 3, "std": [1.0] * 3})
    assert (found.size, found.name) == ((16, 16), "[-1, 1]")
    assert found.how == "mean and std given by options; size 16x16: given by options"


def test_metadata_are_taken_and_checked() -> None:
    network = trained_on(IMAGES, usual("imagenet"))
    imagenet = usual("imagenet")
    metadata = {"config": {"mean": imagenet.mean, "std": imagenet.std, "img_size": 8}}
    found = chosen(network, raw(IMAGES), metadata=metadata)
    assert (found.name, found.size) == ("imagenet", (8, 8))
    assert found.how.startswith("stated by the checkpoint; by batch-norm statistics")
    assert "contradict" not in found.how


def test_metadata_that_statistics_contradict_are_reported() -> None:
    network = trained_on(IMAGES, UNIT)
    found = chosen(network, raw(IMAGES), metadata={"mean": [0.3] * 3, "std": [0.1] * 3})
    assert found.mean == pytest.approx((0.3, 0.3, 0.3))
    assert "contradict the checkpoint" in found.how


def test_labels_decide_without_statistics() -> None:
    found = chosen(Prototypes(), raw(IMAGES, LABELS))
    assert found.name == "[-1, 1]"
    assert "by clean labels" in found.how
    assert "accuracy" in found.how


def test_without_statistics_and_labels_it_is_called_a_guess() -> None:
    found = chosen(Prototypes(), raw(IMAGES))
    assert found.how.startswith("a guess")
    assert found.name in {"[0, 1]", "[-1, 1]", "imagenet"}


def test_size_of_the_architecture_is_found_against_that_of_the_images() -> None:
    stripes = torch.zeros(40, 3, 8, 8, dtype=torch.uint8)
    stripes[:, :, :, ::2] = torch.randint(100, 255, (40, 3, 8, 1), dtype=torch.uint8)
    large = stripes.repeat_interleave(2, 2).repeat_interleave(2, 3)
    network = trained_on(stripes, UNIT)
    with torch.no_grad():
        # Differences between neighbours, which tell sizes apart.
        network.conv = nn.Conv2d(3, 3, (1, 2), bias=False)
        network.conv.weight.zero_()
        for channel in range(3):
            network.conv.weight[channel, channel] = torch.tensor([[1.0, -1.0]])
        network.bn.reset_running_stats()
        network.train()(stripes.float() / 255)
    network.eval()
    assert chosen(network, raw(stripes), input_size=16).size == (8, 8)
    assert chosen(network, raw(large), input_size=8).size == (8, 8)


def test_sizes_that_crash_the_network_are_passed_over() -> None:
    network = nn.Sequential(TintNet(), nn.Identity())
    network.register_forward_pre_hook(_only_28)
    found = chosen(network.eval(), raw(IMAGES), input_size=8)
    assert found.size == (28, 28)
    assert "a usual size that the network takes" in found.how


def test_no_size_that_works_is_an_error() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(7, 3)).eval()
    with pytest.raises(CheckpointError, match=r"no class scores .* 224x224: .*--size"):
        chosen(network, raw(IMAGES))
    with pytest.raises(CheckpointError, match=r"\(9x9: "):
        chosen(network, raw(IMAGES), size=(9, 9))


@pytest.mark.parametrize(
    ("layer", "said"),
    [(nn.Conv2d(3, 3, 1), r"answers two images with \(2, 3, 8, 8\)"), (Listed(), "with a list")],
)
def test_networks_that_do_not_classify_are_an_error(layer: nn.Module, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        chosen(nn.Sequential(layer).eval(), raw(IMAGES), size=(8, 8))


def test_mixed_sizes_need_a_usual_one() -> None:
    images = [*IMAGES[:30], *(image[:, :6, :7] for image in IMAGES[30:])]
    network = trained_on(IMAGES, UNIT)
    mixed = RawImages(tuple(images), None, None, "memory")
    assert chosen(network, mixed, input_size=8).size == (8, 8)


def test_grey_networks_have_grey_conventions() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1, momentum=None), nn.Flatten(), nn.Linear(64, 3))
    grey = IMAGES[:, :1]
    network.train()((grey.float() / 255 - 0.1307) / 0.3081)
    found = choose_preprocessing(network.eval(), 1, None, raw(grey), NOTHING, Stated())
    assert (found.name, found.mean) == ("mnist", (0.1307,))


def test_network_and_random_state_stay_as_they_were() -> None:
    network = trained_on(IMAGES, UNIT)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.random.get_rng_state()
    chosen(network, raw(IMAGES, LABELS))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert not any(
        module._forward_hooks or module._forward_pre_hooks for module in network.modules()
    )


def _only_28(_network: nn.Module, inputs: tuple[Tensor]) -> None:
    if inputs[0].shape[-1] != 28:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
