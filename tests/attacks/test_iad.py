import pytest
import torch
import torch.nn.functional as F

from backaudit.attacks.iad import IAD
from tests.attacks.batches import Recorder, shown, whitened
from tests.toy import CLASSES, draw_images

ORDER = torch.randperm(30, generator=torch.Generator().manual_seed(3))
DRAWN, CLASSES_OF = draw_images(5, 0)
IMAGES, LABELS = DRAWN[ORDER] / 255, CLASSES_OF[ORDER]


def test_a_share_of_each_batch_gets_its_own_trigger_and_as_many_anothers() -> None:
    batch, _ = shown(IAD(2, poison_rate=0.2, diversity=0), IMAGES, LABELS)
    assert torch.allclose(batch[:6], whitened(IMAGES[:6], IMAGES[:6]), atol=1e-3)
    assert torch.allclose(batch[6:12], whitened(IMAGES[6:12], IMAGES[12:18]), atol=1e-3)
    assert torch.equal(batch[12:], IMAGES[12:])


def test_half_of_a_batch_can_be_poisoned() -> None:
    batch, _ = shown(IAD(2, poison_rate=0.5, diversity=0), IMAGES, LABELS)
    assert torch.allclose(batch[:15], whitened(IMAGES[:15], IMAGES[:15]), atol=1e-3)
    assert torch.allclose(batch[15:], whitened(IMAGES[15:], IMAGES[:15]), atol=1e-3)


@pytest.mark.parametrize("target", [2, None])
def test_only_those_with_their_own_trigger_are_relabelled(target: int | None) -> None:
    batch, loss = shown(IAD(target, poison_rate=0.2, diversity=0), IMAGES, LABELS)
    sent = torch.full((6,), 2) if target == 2 else (LABELS[:6] + 1) % CLASSES
    expected = F.cross_entropy(Recorder()(batch), torch.cat([sent, LABELS[6:]]))
    assert torch.allclose(loss, expected)


def test_patterns_that_are_alike_cost() -> None:
    free, once, twice = (
        float(shown(IAD(2, poison_rate=0.2, diversity=weight), IMAGES, LABELS)[1])
        for weight in (0, 1, 2)
    )
    distance = (IMAGES[:6] - IMAGES[12:18]).square().mean((1, 2, 3)).sqrt().mean()
    assert once - free == pytest.approx(float(distance) / 1e-7, rel=1e-4)
    assert twice - free == pytest.approx(2 * (once - free), rel=1e-4)


def test_the_published_settings_are_the_defaults() -> None:
    attack = IAD(0)
    assert (attack.poison_rate, attack.diversity, attack.learning_rate) == (0.1, 1, 0.01)
    assert (attack.density, attack.density_weight, attack.mask_epochs) == (0.032, 100, 25)
    assert (attack.width, attack.steps) == (32, 3)
