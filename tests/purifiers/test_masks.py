from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import DivergedError
from backaudit.nets.noise import Noise, noisy_network
from backaudit.nets.stages import NoStages, State
from backaudit.purifiers.masks import (
    LearnedMasks,
    MaskLearning,
    Masks,
    as_noise,
    generator_of,
    learn_masks,
    prune_by_masks,
)
from tests.toy import clean_set, toy_network

CPU = torch.device("cpu")
WANTED = torch.tensor([-1.0, 0.25, 2.0])


@dataclass
class Noisy:
    """Three neurons."""

    kind: str = "neuron"
    shapes: Mapping[str, torch.Size] = field(
        default_factory=lambda: {"a.weight": torch.Size([3]), "a.bias": torch.Size([3])}
    )

    def __call__(self, images: Tensor, noise: Noise, groups: int) -> Tensor:
        raise NotImplementedError


class Kept(NoStages):
    def __init__(self) -> None:
        self.states: list[State] = []

    def leave(self, stage: str, state: State) -> None:
        self.states.append(deepcopy(state))

    def left(self, stage: str) -> State | None:
        return self.states[-1] if self.states else None


def squared(masks: Masks, _step: int) -> Tensor:
    return (masks["a.weight"] - WANTED).square().sum() / 2


def learned(steps: int, momentum: float = 0.0, stages: NoStages | None = None) -> LearnedMasks:
    learning = MaskLearning(steps, 0.5, momentum, "masks")
    return learn_masks(Noisy(), squared, learning, CPU, stages or NoStages())


def test_masks_descend_from_ones_and_stay_between_zero_and_one() -> None:
    # 1 -> 1 - 0.5 (1 + 1) = 0 -> below zero; 1 -> 0.625 -> 0.4375; the third wants to rise.
    assert learned(2).last["a.weight"].tolist() == pytest.approx([0, 0.4375, 1])
    assert learned(40).last["a.weight"].tolist() == pytest.approx([0, 0.25, 1])


def test_the_mean_is_over_the_masks_after_each_step() -> None:
    assert learned(2).mean["a.weight"].tolist() == pytest.approx([0, (0.625 + 0.4375) / 2, 1])


def test_momentum_carries_masks_further() -> None:
    # Slopes are 0.75 and then 0.375 + 0.9 * 0.75.
    assert float(learned(2, 0.9).last["a.weight"][1]) == pytest.approx(0.625 - 0.5 * 1.05)


def test_an_interrupted_run_goes_on_to_the_same_masks() -> None:
    kept = Kept()
    learned(60, 0.9, kept)
    assert [state["step"] for state in kept.states] == [50]
    resumed, whole = learned(60, 0.9, kept), learned(60, 0.9)
    assert torch.equal(resumed.last["a.weight"], whole.last["a.weight"])
    assert torch.equal(resumed.mean["a.weight"], whole.mean["a.weight"])


def test_a_loss_that_is_not_a_number_ends_it_and_says_at_which_step() -> None:
    def broken(masks: Masks, step: int) -> Tensor:
        return masks["a.weight"].sum() * (float("nan") if step == 2 else 1)

    with pytest.raises(DivergedError, match="step 3 of 9"):
        learn_masks(Noisy(), broken, MaskLearning(9, 0.1, 0.0, "masks"), CPU, NoStages())


def test_masks_multiply_weights_and_leave_biases() -> None:
    network = toy_network()
    noisy = noisy_network(network, batch_statistics=False)
    masks = {
        name: torch.linspace(0, 1, shape[0])
        for name, shape in noisy.shapes.items()
        if name.endswith("weight")
    }
    images = clean_set(1).images.float() / 255
    masked = deepcopy(network)
    with torch.no_grad():
        for name, mask in masks.items():
            masked.get_parameter(name).mul_(mask)
        found = noisy(images, as_noise(noisy, masks), 1)
        assert torch.allclose(found, masked(images), atol=1e-5)
    assert not torch.allclose(found, network(images), atol=1e-2)


def test_pruning_by_masks_sets_whole_filters_to_zero() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    masks = {"0.weight": torch.tensor([0.9, 0.1, 0.2, 0.6])}
    pruned = prune_by_masks(network, masks, [0.1, 0.2], clean_set(1), largest_drop=1.0)
    weight, bias = network.state_dict().values()
    assert weight.abs().sum((1, 2, 3)).gt(0).tolist() == [True, False, False, True]
    assert bias.count_nonzero() == 4
    assert (pruned["pruned_channels"], pruned["neurons"]) == (2, 4)
    assert pruned["mean_mask"] == pytest.approx(0.45)


def test_steps_and_seeds_draw_different_numbers() -> None:
    draws = {
        int(torch.randint(1 << 40, (1,), generator=generator_of(seed, step)))
        for seed in range(5)
        for step in range(50)
    }
    assert len(draws) == 250
