import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.attacks import Learned, TrainingSet
from backaudit.attacks.iad import IAD
from backaudit.attacks.input_aware import InputAware, _Masks
from backaudit.core.errors import SettingError
from backaudit.nets.epochs import Epochs
from backaudit.nets.training import Training, train
from tests.toy import CLASSES, draw_images, toy_network

CPU = torch.device("cpu")
CLEAN = TrainingSet(*draw_images(10, 0), CLASSES)
INPUTS = CLEAN.images / 255
TINY = {"width": 2, "steps": 1, "mask_epochs": 1}


def learned(attack: InputAware, seed: int = 0) -> Learned:
    return attack.learn(CLEAN, None, torch.Generator().manual_seed(seed))


def coverage(attack: InputAware) -> Tensor:
    """How much of each image its mask covers."""
    return attack.trigger(CLEAN.images, learned(attack)).masks(INPUTS).mean((1, 2, 3)).detach()


def test_masks_learn_to_be_small() -> None:
    settings = {**TINY, "diversity": 0.0, "learning_rate": 0.1}
    before = coverage(IAD(0, **settings | {"mask_epochs": 0}))  # type: ignore[arg-type]
    after = coverage(IAD(0, **settings | {"mask_epochs": 20}))  # type: ignore[arg-type]
    assert before.mean() > 0.3
    assert after.mean() < 0.1


def test_the_learning_rate_falls_twice() -> None:
    goal = _Masks(IAD(0), nn.Conv2d(3, 1, 1), steps=10)
    rates = []
    for _ in range(10):
        goal.loss(nn.Conv2d(3, 1, 1), INPUTS[:4], CLEAN.labels[:4])
        rates.append(goal.optimizers[0].param_groups[0]["lr"])
    assert rates == pytest.approx([0.01] * 4 + [0.001] * 4 + [0.0001] * 2)


def test_the_loss_of_masks_is_weighted() -> None:
    class Grey(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.level = nn.Parameter(torch.zeros(()))

        def forward(self, images: Tensor) -> Tensor:
            return 0.5 + 0 * self.level * images[:, :1]

    attack = IAD(0, diversity=0.0, density=0.1, density_weight=30.0)
    loss = _Masks(attack, Grey(), steps=1).loss(Grey(), INPUTS[:4], CLEAN.labels[:4])
    assert float(loss.detach()) == pytest.approx(30 * (0.5 - 0.1))


def test_only_the_patterns_learn_with_the_network() -> None:
    attack = IAD(0, **TINY)  # type: ignore[arg-type]
    before = learned(attack)
    objective = attack.objective(CLEAN, before, CPU, torch.Generator())
    data = (CLEAN.images, CLEAN.labels)
    train(
        toy_network(), Epochs.alike(*data), Training(1, batch_size=30), seed=0, objective=objective
    )
    after = objective.learned()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        weight = tensor.is_floating_point() and "num_batches" not in name
        same = torch.equal(tensor, after[name])
        # A bias in front of a normalisation has no effect, and may stay.
        if weight and not name.endswith("0.bias"):
            assert same == name.startswith("mask."), name
    assert not torch.equal(attack.stamp(CLEAN.images, before), attack.stamp(CLEAN.images, after))


def test_what_was_learned_does_not_change_with_later_batches() -> None:
    attack = IAD(0, **TINY)  # type: ignore[arg-type]
    objective = attack.objective(CLEAN, learned(attack), CPU, torch.Generator())
    kept = objective.learned()
    first = {name: tensor.clone() for name, tensor in kept.items()}
    objective.loss(toy_network(), INPUTS, CLEAN.labels)
    assert all(torch.equal(kept[name], first[name]) for name in first)
    assert not all(torch.equal(objective.learned()[name], first[name]) for name in first)


def test_a_batch_too_small_to_poison_is_learned_as_it_is() -> None:
    attack, network = IAD(0, **TINY), toy_network()  # type: ignore[arg-type]
    objective = attack.objective(CLEAN, learned(attack), CPU, torch.Generator())
    loss = objective.loss(network, INPUTS[:9], CLEAN.labels[:9])
    assert torch.equal(loss, F.cross_entropy(network(INPUTS[:9]), CLEAN.labels[:9]))


def test_losses_are_finite_and_in_float32_under_autocast() -> None:
    attack = IAD(0, **TINY)  # type: ignore[arg-type]
    objective = attack.objective(CLEAN, learned(attack), CPU, torch.Generator())
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective.loss(toy_network(), INPUTS, CLEAN.labels)
    assert loss.dtype == torch.float32
    assert math.isfinite(float(loss.detach()))


def test_no_image_is_left_alone_in_a_batch() -> None:
    images, labels = (part[:129] for part in draw_images(22, 0))
    attack = IAD(0, width=2, mask_epochs=1)
    assert attack.learn(TrainingSet(images, labels, CLASSES), None, torch.Generator())


def test_masks_can_be_learned_on_some_images_only() -> None:
    few, all_ = (IAD(0, width=2, steps=1, mask_epochs=2, mask_images=n) for n in (8, None))
    assert not torch.equal(coverage(few), coverage(all_))


@pytest.mark.parametrize("rate", [0.0, 0.51])
def test_a_rate_that_leaves_no_room_is_refused(rate: float) -> None:
    with pytest.raises(SettingError, match="poison_rate"):
        IAD(0, poison_rate=rate)
