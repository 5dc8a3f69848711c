from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.errors import NotApplicableError
from backaudit.nets.watching import accuracy_on
from backaudit.purifiers import uap_ft
from backaudit.purifiers.soft_labels import SoftLabels
from backaudit.purifiers.uap_ft import UAPFT, ShortcutLoss, ShortcutSearch
from tests.conftest import ToyWorld
from tests.purifiers.toys import MEASURED, PARTS, repaired
from tests.toy import CLASSES, SIZE, TARGET, toy_network

QUICK = UAPFT(epochs=6, radius=0.03, bf16=False)


class Shortcut(nn.Module):
    """Sends images to the target that agree with a chequered pattern, by weights that can learn."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        parity = (torch.arange(SIZE)[:, None] + torch.arange(SIZE)) % 2
        self.pattern = nn.Parameter((1 - 2.0 * parity).expand(3, -1, -1) / parity.numel())

    def forward(self, images: Tensor) -> Tensor:
        agreement = (images * self.pattern).sum((1, 2, 3))
        logits: Tensor = self.network(images)
        return logits + 300 * (agreement - 0.02).relu()[:, None] * torch.eye(CLASSES)[TARGET]


def sent_to_target(network: Shortcut, pattern: Tensor) -> float:
    images = MEASURED.images[MEASURED.labels != TARGET].float() / 255
    with torch.no_grad():
        return float((network(images + 0.03 * pattern.sign()).argmax(1) == TARGET).float().mean())


def test_a_shortcut_that_one_change_takes_is_closed_and_accuracy_stays(
    toy_world: ToyWorld,
) -> None:
    network = shortcut(toy_world)
    pattern = network.pattern.detach().clone()
    assert sent_to_target(network, pattern) > 0.9
    found = repaired(QUICK, network)
    assert isinstance(found.network, Shortcut)
    assert sent_to_target(found.network, pattern) < 0.1
    assert found.accuracy > 0.98
    assert accuracy_on(found.network, MEASURED) == found.accuracy


def shortcut(toy_world: ToyWorld) -> Shortcut:
    network = Shortcut(deepcopy(toy_world.benign.network)).eval()
    return network.requires_grad_(True)


def test_the_class_of_the_shortcut_is_reached_and_then_no_longer(toy_world: ToyWorld) -> None:
    measured = repaired(QUICK, shortcut(toy_world)).measurements
    assert measured["reached_before"] == [TARGET]
    assert measured["reached_after"] == []


def test_without_a_shortcut_there_is_nothing_to_close(toy_world: ToyWorld) -> None:
    with pytest.raises(NotApplicableError, match="no class is reached by one change of the pixels"):
        repaired(QUICK, toy_world.benign)


def test_where_no_class_is_reached_only_the_answers_are_learned(toy_world: ToyWorld) -> None:
    network = deepcopy(toy_world.benign.network).requires_grad_(True)
    objective = ShortcutLoss(SoftLabels(), ShortcutSearch(PARTS.fit, QUICK, CLASSES))
    objective.begin_epoch(network)
    images = PARTS.fit.images[:12].float() / 255
    labels = PARTS.fit.labels[:12]
    expected = F.cross_entropy(network(images), labels)
    assert objective.loss(network, images, labels).item() == pytest.approx(expected.item())


def test_a_watched_class_counts_as_reached(toy_world: ToyWorld) -> None:
    looking = ShortcutSearch(PARTS.fit, QUICK, CLASSES, watched=(1, 4))
    reached, perturbations = looking.found(
        deepcopy(toy_world.benign.network), torch.Generator().manual_seed(0)
    )
    assert reached.tolist() == [1, 4]
    sizes = perturbations.square().mean((1, 2, 3)).sqrt()
    assert sizes.tolist() == pytest.approx([QUICK.radius] * 2, rel=0.05)


def test_perturbations_go_on_to_be_searched_and_stay_small(toy_world: ToyWorld) -> None:
    network = shortcut(toy_world)
    objective = ShortcutLoss(SoftLabels(), ShortcutSearch(PARTS.fit, QUICK, CLASSES))
    objective.begin_epoch(network)
    before = objective._perturbations.clone()
    images = PARTS.fit.images[:12].float() / 255
    objective.loss(network, images, PARTS.fit.labels[:12])
    after = objective._perturbations
    assert not torch.equal(before, after)
    assert float(after.square().mean().sqrt()) <= QUICK.radius + 1e-6


def test_classes_in_one_batch_are_classes_one_by_one(
    toy_world: ToyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = shortcut(toy_world)
    looking = ShortcutSearch(PARTS.fit, replace(QUICK, wanted=0.01), CLASSES)
    together = looking.found(network, torch.Generator().manual_seed(0))
    monkeypatch.setattr(uap_ft, "images_at_once", lambda *_: 1)
    alone = looking.found(network, torch.Generator().manual_seed(0))
    assert together[0].tolist() == alone[0].tolist()
    assert torch.allclose(together[1], alone[1], atol=1e-5)


def test_the_running_statistics_are_those_of_images_as_they_are(toy_world: ToyWorld) -> None:
    network, other = shortcut(toy_world), shortcut(toy_world)
    objective = ShortcutLoss(SoftLabels(), ShortcutSearch(PARTS.fit, QUICK, CLASSES))
    objective.begin_epoch(network)
    images = PARTS.fit.images[:12].float() / 255
    objective.loss(network.train(), images, PARTS.fit.labels[:12])
    other.train()(images)
    for name, buffer in network.named_buffers():
        assert torch.equal(buffer, other.get_buffer(name)), name


def test_more_classes_than_could_be_searched_are_refused() -> None:
    with pytest.raises(NotApplicableError, match="101 classes; it searches towards 100 at most"):
        repaired(QUICK, toy_network(classes=101))
