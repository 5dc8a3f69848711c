from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.loading.preparation.choosing import Chosen, choose
from backaudit.loading.preparation.conventions import UNIT, Stated
from backaudit.loading.recognition.recognise import recognise
from backaudit.loading.recognition.recognised import Recognised
from tests.loading.recognition.test_recognise import checkpoint_of
from tests.loading.samples import TintNet, raw, tinted, trained_on

IMAGES, LABELS = tinted(60)


class Mixed(nn.Module):
    """Tells colours apart only after mixing them up by some share; the same tensors."""

    def __init__(self, network: TintNet, share: float) -> None:
        super().__init__()
        self.network, self.share = network, share

    def forward(self, images: Tensor) -> Tensor:
        turned = images.roll(1, dims=1)
        logits: Tensor = self.network(torch.lerp(images, turned, self.share))
        return logits


def recognised(network: nn.Module, name: str, *rivals: Recognised) -> Recognised:
    return Recognised(network, name, 3, 3, 8, "made", (), rivals=rivals)


def chosen(found: Recognised, *, labelled: bool = True) -> Chosen:
    images = raw(IMAGES, LABELS if labelled else None, named=False)
    return choose(found, Path("suspect.pt"), images, Stated(None, UNIT.mean, UNIT.std), "cpu")


@pytest.fixture
def network() -> TintNet:
    return trained_on(IMAGES, UNIT)


def test_one_network_is_taken_without_a_word(network: TintNet) -> None:
    assert chosen(recognised(network, "only")).recognised.assumptions == ()


def test_rivals_that_answer_alike_are_named(network: TintNet) -> None:
    found = chosen(recognised(network, "first", recognised(Mixed(network, 0.0), "twin")))
    assert found.recognised.architecture == "first"
    assert found.recognised.assumptions == ("The same tensors fit twin too, which answers alike.",)


@pytest.mark.parametrize("labelled", [True, False])
def test_the_rival_that_knows_the_images_best_is_taken(network: TintNet, labelled: bool) -> None:
    rivals = recognised(network, "right"), recognised(Mixed(network, 0.7), "worse")
    found = chosen(recognised(Mixed(network, 1.0), "first", *rivals), labelled=labelled)
    assert found.recognised.architecture == "right"
    (said,) = found.recognised.assumptions
    assert "right knows the clean images best" in said
    assert ("clean accuracy 100.0%" if labelled else "divergence") in said
    assert said.index("first") < said.index("worse")


def test_on_equal_terms_the_first_is_taken(network: TintNet) -> None:
    rival = recognised(Mixed(network, 0.05), "rival")
    assert chosen(recognised(network, "first", rival)).recognised.architecture == "first"


def test_where_nothing_tells_the_first_is_taken_and_said() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    other = nn.Sequential(nn.Tanh(), nn.Flatten(), network[1])
    found = chosen(recognised(network, "first", recognised(other, "rival")), labelled=False)
    assert found.recognised.architecture == "first"
    assert "answer differently" in found.recognised.assumptions[0]


def test_chain_without_labels_is_refused_with_the_files_name() -> None:
    layers = nn.Sequential(nn.Flatten(), nn.Linear(3072, 4), nn.ReLU(), nn.Linear(4, 3))
    found = recognise(checkpoint_of(layers.state_dict()))
    with pytest.raises(CheckpointError, match=r"suspect\.pt is not recognised.*plain chain"):
        chosen(replace(found), labelled=False)
