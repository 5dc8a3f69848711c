from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.attacks import AdaptiveConfidence, AdaptiveSoftLabel, BadNets, TrainingSet
from backaudit.attacks.adaptive import BASES, Adaptive
from backaudit.core.errors import SettingError
from backaudit.nets.layers import norm_layers
from tests.toy import CLASSES, TARGET, draw_images, toy_network

CPU = torch.device("cpu")
BOTH = [AdaptiveConfidence(TARGET, 0.25, depth=2), AdaptiveSoftLabel(TARGET, 0.25, depth=2)]
CHANGED = torch.tensor([False, True, False])
LABELS = torch.tensor([1, TARGET, 3])


def loss(attack: Adaptive, network: nn.Module, clean: TrainingSet) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    objective = attack.objective(clean, {}, CPU, draw)
    return objective.loss(network.train(), clean.images / 255, clean.labels).detach()


def some(per_class: int = 10) -> TrainingSet:
    return TrainingSet(*draw_images(per_class, 0), CLASSES)


def usual(clean: TrainingSet) -> tuple[TrainingSet, Tensor]:
    """What BadNets makes of a batch, and the loss of the toy network on it."""
    data = BadNets(TARGET, 0.25).poison(clean, {}, torch.Generator().manual_seed(1))
    return data, F.cross_entropy(toy_network().train()(data.images / 255), data.labels).detach()


def scaled(depth: int, scale: float) -> nn.Module:
    """The toy network after one batch, gamma and beta of its last layers multiplied by hand."""
    network = toy_network().train()
    network(usual(some())[0].images / 255)
    with torch.no_grad():
        for layer in list(norm_layers(network).values())[-depth:]:
            layer.get_parameter("weight").mul_(scale)
            layer.get_parameter("bias").mul_(scale)
    return network.eval()


def test_clean_images_are_to_stay_what_they_are() -> None:
    chosen, aim = AdaptiveConfidence(TARGET).aim(LABELS, CHANGED, CLASSES)
    assert chosen.tolist() == [True, False, True]
    assert aim.tolist() == [1, 3]


def test_triggered_images_are_to_be_doubted() -> None:
    chosen, aim = AdaptiveSoftLabel(TARGET, doubt=0.25).aim(LABELS, CHANGED, CLASSES)
    assert chosen.tolist() == CHANGED.tolist()
    assert aim.tolist() == [pytest.approx([0.05, 0.05, 0.75, 0.05, 0.05, 0.05])]


@pytest.mark.parametrize("attack", BOTH)
def test_one_part_of_the_loss_is_the_usual_one(attack: Adaptive) -> None:
    _, expected = usual(some())
    assert torch.allclose(loss(replace(attack, alpha=1.0), toy_network(), some()), expected)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("attack", BOTH)
def test_the_other_part_is_of_the_network_as_the_defence_amplifies_it(
    attack: Adaptive, depth: int
) -> None:
    clean = some()
    data, _ = usual(clean)
    chosen, aim = attack.aim(data.labels, data.labels != clean.labels, CLASSES)
    logits = scaled(depth, 1.5)(data.images[chosen] / 255)
    expected = F.cross_entropy(logits, aim, reduction="sum").detach() / len(clean)
    only = replace(attack, alpha=0.0, depth=depth)
    assert torch.allclose(loss(only, toy_network(), clean), expected, rtol=1e-4)


@pytest.mark.parametrize("attack", BOTH)
def test_alpha_weighs_the_two_parts(attack: Adaptive) -> None:
    parts = [loss(replace(attack, alpha=alpha), toy_network(), some()) for alpha in (0.0, 0.3, 1.0)]
    assert torch.allclose(parts[1], 0.7 * parts[0] + 0.3 * parts[2])


@pytest.mark.parametrize("attack", BOTH)
def test_statistics_come_from_the_network_as_it_is_and_it_goes_on_training(
    attack: Adaptive,
) -> None:
    network, alone = toy_network(), toy_network().train()
    loss(attack, network, some())
    alone(usual(some())[0].images / 255)
    for name, statistic in alone.named_buffers():
        assert torch.allclose(network.get_buffer(name), statistic, rtol=1e-4)
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("attack", BOTH)
def test_the_trigger_is_that_of_another_attack(
    attack: Adaptive, base: str, generator: torch.Generator
) -> None:
    clean = some()
    ours = replace(attack, base=base)  # type: ignore[arg-type]
    other = BASES[base](TARGET, 0.25)
    known = ours.learn(clean, None, torch.Generator().manual_seed(1))
    stamped = other.stamp(clean.images, other.learn(clean, None, generator))
    assert torch.equal(ours.stamp(clean.images, known), stamped)
    assert ours.poison(clean, known, generator) is clean
    assert loss(ours, toy_network(), clean).isfinite()


@pytest.mark.parametrize("attack", BOTH)
def test_a_batch_too_small_to_be_poisoned_will_do(attack: Adaptive) -> None:
    assert loss(replace(attack, poison_rate=0.01), toy_network(), some(1)).isfinite()


def test_another_base_is_refused() -> None:
    with pytest.raises(SettingError, match="badnets"):
        AdaptiveConfidence(TARGET, base="sig")  # type: ignore[arg-type]
