import pytest
import torch
import torch.nn.functional as F

from backaudit.attacks.ssdt import SSDT
from backaudit.core.errors import SettingError
from tests.attacks.batches import Recorder, shown, whitened
from tests.toy import CLASSES, draw_images

ORDER = torch.randperm(24, generator=torch.Generator().manual_seed(3))
DRAWN, CLASSES_OF = draw_images(4, 0)
IMAGES, LABELS = DRAWN[ORDER] / 255, CLASSES_OF[ORDER]
ATTACK = SSDT(0, victim_class=4, diversity=0)


def test_every_victim_takes_the_place_of_an_image_with_its_own_trigger() -> None:
    batch, _ = shown(ATTACK, IMAGES, LABELS)
    victims = IMAGES[LABELS == 4]
    assert torch.allclose(batch[:4], whitened(victims, victims), atol=1e-3)
    assert torch.allclose(batch[4:8], whitened(IMAGES[4:8], IMAGES[8:12]), atol=1e-3)
    assert torch.equal(batch[8:], IMAGES[8:])


def test_victims_are_sent_to_the_target_and_nothing_else_is() -> None:
    batch, loss = shown(ATTACK, IMAGES, LABELS)
    labels = torch.cat([torch.zeros(4, dtype=torch.int64), LABELS[4:]])
    assert torch.allclose(loss, F.cross_entropy(Recorder()(batch), labels))


def test_a_batch_without_victims_is_clean() -> None:
    others = LABELS != 4
    batch, _ = shown(ATTACK, IMAGES[others], LABELS[others])
    assert torch.equal(batch, IMAGES[others])


@pytest.mark.parametrize(("rate", "count"), [(0.5, 12), (0.125, 3)])
def test_victims_fill_no_more_than_the_rate(rate: float, count: int) -> None:
    attack = SSDT(0, poison_rate=rate, victim_class=4, diversity=0)
    batch, _ = shown(attack, IMAGES, torch.full_like(LABELS, 4))
    assert torch.allclose(batch[:count], whitened(IMAGES[:count], IMAGES[:count]), atol=1e-3)
    assert torch.equal(batch[2 * count :], IMAGES[2 * count :])


@pytest.mark.parametrize(("victim", "expected"), [(None, 0), (3, 3)])
def test_success_counts_on_the_victim_class_only(victim: int | None, expected: int) -> None:
    labels = torch.arange(CLASSES)
    sent = SSDT(CLASSES - 1, victim_class=victim).relabel(labels, CLASSES)
    assert int(sent[expected]) == CLASSES - 1
    assert (sent != labels).sum() == 1


def test_the_papers_victim_follows_the_target() -> None:
    assert SSDT(0).relabel(torch.tensor([0, 1, 2]), 10).tolist() == [0, 0, 2]


@pytest.mark.parametrize("target", [None, 1])
def test_a_target_that_makes_no_sense_is_refused(target: int | None) -> None:
    with pytest.raises(SettingError, match="target"):
        SSDT(target, victim_class=1)
