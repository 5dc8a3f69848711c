from collections import OrderedDict
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.errors import NotApplicableError
from backaudit.nets.noise import (
    Climb,
    NeuronNoise,
    Noise,
    NormNoise,
    draw_noise,
    noisy_network,
    renormalised_noise,
    walk,
)
from tests.toy import clean_set, toy_network, unusual

CPU = torch.device("cpu")
GROUPS, SIZE = 2, 4
CLIMB = Climb((0.1, 0.3), steps=3, bf16=False)


class Bare(nn.Module):
    """No normalisation: convolutions with and without bias, linear layers on sequences too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 8, 3, stride=2, bias=False)
        self.tokens = nn.Linear(8, 5)
        self.hidden = nn.Linear(5 * 16, 7, bias=False)
        self.head = nn.Linear(7, 6)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv2(self.conv1(images).relu()).relu()
        tokens = self.tokens(features.flatten(2).transpose(1, 2)).relu()
        logits: Tensor = self.head(self.hidden(tokens.flatten(1)).relu())
        return logits


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "norm": toy_network,
    "neuron": lambda: unusual(Bare()),
}


@dataclass(frozen=True)
class Slope:
    """Two classes; the first one's logit is the sum of the noise."""

    kind: str = "made up"
    seen: list[float] = field(default_factory=list)

    @property
    def shapes(self) -> Mapping[str, torch.Size]:
        return {"slope": torch.Size([2])}

    def __call__(self, images: Tensor, noise: Noise, groups: int) -> Tensor:
        self.seen.append(float(noise["slope"].detach()[0, 0]))
        logit = noise["slope"].sum(1).repeat_interleave(len(images) // groups)
        return torch.stack([logit, torch.zeros(len(images))], dim=1)


def drawn(noisy: NormNoise | NeuronNoise, budget: float = 0.3) -> Noise:
    generators = [torch.Generator().manual_seed(seed) for seed in range(GROUPS)]
    return draw_noise(noisy.shapes, budget, generators, CPU)


def images_and_labels() -> tuple[Tensor, Tensor]:
    images = torch.rand(GROUPS * SIZE, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return images, torch.arange(GROUPS * SIZE) % 6


def loss_of(noisy: NormNoise | NeuronNoise, noise: Noise) -> float:
    images, labels = images_and_labels()
    with torch.no_grad():
        return float(F.cross_entropy(noisy(images, noise, GROUPS), labels))


def scaled(network: nn.Module, noise: Noise, group: int) -> nn.Module:
    """A copy whose parameters are really scaled, each row of a weight by its own factor."""
    copied = deepcopy(network)
    with torch.no_grad():
        for name, delta in noise.items():
            parameter = copied.get_parameter(name)
            rows = (-1,) + (1,) * (parameter.dim() - 1)
            parameter *= (1 + delta[group]).view(rows)
    return copied


@pytest.mark.parametrize("kind", NETWORKS)
def test_noise_scales_the_parameters(kind: str) -> None:
    network = NETWORKS[kind]()
    noisy = noisy_network(network)
    assert isinstance(noisy, NormNoise | NeuronNoise)
    noise, (images, _) = drawn(noisy), images_and_labels()
    assert noise.keys() == noisy.shapes.keys()
    logits = noisy(images, noise, GROUPS)
    for group, part in enumerate(images.chunk(GROUPS)):
        copied = scaled(network, noise, group).train(noisy.kind == "batch-norm")
        own = slice(group * SIZE, (group + 1) * SIZE)
        assert torch.allclose(logits[own], copied(part), atol=1e-5)


def test_noise_is_on_every_neuron_but_those_of_the_classifier() -> None:
    shapes = noisy_network(Bare()).shapes
    assert {name: tuple(shape) for name, shape in shapes.items()} == {
        "conv1.weight": (6,),
        "conv2.weight": (8,),
        "tokens.weight": (5,),
        "hidden.weight": (7,),
        "conv1.bias": (6,),
        "tokens.bias": (5,),
    }


def test_noise_is_on_normalisation_layers_where_there_are_any() -> None:
    network = toy_network(bias=True)
    noisy = noisy_network(network)
    widths = {
        f"{layer}.{name}": (width,)
        for layer, width in ((1, 8), (4, 16), (7, 32))
        for name in ("weight", "bias")
    }
    assert {name: tuple(shape) for name, shape in noisy.shapes.items()} == widths
    assert noisy.kind == "batch-norm"


def test_the_kind_is_that_of_the_layers_that_have_the_noise() -> None:
    mixed = nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.GroupNorm(1, 3), nn.Flatten())
    assert noisy_network(mixed).kind == "other-norm"


def test_batch_norm_that_was_added_is_told_apart_whatever_layers_are_called() -> None:
    with renormalised_noise(unusual(Bare()), clean_set()) as noisy:
        assert noisy.kind == "renormalised"
    named = nn.Sequential(OrderedDict(renormalised=nn.BatchNorm2d(3), out=nn.Flatten()))
    with renormalised_noise(named, clean_set()) as noisy:
        assert noisy.kind == "batch-norm"


def test_a_network_without_hidden_neurons_does_not_apply() -> None:
    with pytest.raises(NotApplicableError, match="no layer whose neurons"):
        noisy_network(nn.Sequential(nn.Flatten(), nn.Linear(12, 4)))


def test_no_hook_stays_on_the_neurons_also_after_an_error() -> None:
    network = unusual(Bare())
    noisy = noisy_network(network)
    noise = drawn(noisy)  # type: ignore[arg-type]
    noisy(images_and_labels()[0], noise, GROUPS)
    with pytest.raises(RuntimeError):
        noisy(torch.rand(2, 4, 12, 12), noise, GROUPS)
    assert not any(module._forward_hooks for module in network.modules())


def test_drawn_noise_fills_the_box() -> None:
    shapes = {"a": torch.Size([500]), "b": torch.Size([4, 5])}
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2, 1)]
    noise = draw_noise(shapes, 0.2, generators, CPU)
    assert (noise["a"].shape, noise["b"].shape) == ((3, 500), (3, 4, 5))
    assert noise["a"].abs().max() <= 0.2
    assert noise["a"].min() < -0.19
    assert noise["a"].max() > 0.19
    assert torch.equal(noise["b"][0], noise["b"][2])
    assert not torch.equal(noise["b"][0], noise["b"][1])


def test_no_budget_is_no_noise() -> None:
    noise = draw_noise({"a": torch.Size([9])}, 0.0, [torch.Generator()], CPU)
    assert torch.equal(noise["a"], torch.zeros(1, 9))


@pytest.mark.parametrize(("towards", "sign"), [(False, -1), (True, 1)])
def test_a_walk_takes_equal_steps_to_each_budget(towards: bool, sign: int) -> None:
    climb = Climb((0.1, 0.3), steps=2, towards=towards, bf16=False)
    images, labels = torch.zeros(GROUPS, 3, 2, 2), torch.zeros(GROUPS, dtype=torch.long)
    slope = Slope()
    walked = list(walk(slope, images, labels, {"slope": torch.zeros(GROUPS, 2)}, climb))
    assert slope.seen == pytest.approx([0, sign * 0.05, sign * 0.1, sign * 0.2])
    assert [noise["slope"].tolist() for noise in walked] == [
        [[pytest.approx(sign * budget)] * 2] * GROUPS for budget in (0.1, 0.3)
    ]


def test_a_walk_stays_in_the_box_wherever_it_starts() -> None:
    images, labels = torch.zeros(GROUPS, 3, 2, 2), torch.zeros(GROUPS, dtype=torch.long)
    start = {"slope": torch.tensor([[-0.1, 0.1], [0.5, -0.5]])}
    (noise,) = walk(Slope(), images, labels, start, Climb((0.1,), steps=1, bf16=False))
    # One step of 0.1 down, but not below -0.1 and not above 0.1.
    expected = torch.tensor([[-0.1, 0.0], [0.1, -0.1]])
    assert torch.allclose(noise["slope"], expected)
    assert start["slope"][1].tolist() == [0.5, -0.5]


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("towards", [False, True])
def test_a_walk_changes_the_loss_more_at_each_budget(kind: str, towards: bool) -> None:
    noisy = noisy_network(NETWORKS[kind]().requires_grad_(False))
    assert isinstance(noisy, NormNoise | NeuronNoise)
    images, labels = images_and_labels()
    climb = Climb((0.1, 0.2, 0.4), steps=3, towards=towards, bf16=False)
    start = drawn(noisy, 0.0)
    walked = list(walk(noisy, images, labels, start, climb))
    losses = [loss_of(noisy, noise) for noise in (start, *walked)]
    assert losses == sorted(losses, reverse=towards)
    assert len(set(losses)) == 4
    for budget, noise in zip(climb.budgets, walked, strict=True):
        largest = torch.stack([delta.abs().max() for delta in noise.values()])
        assert largest.max() <= torch.tensor(budget)
        assert largest.max() > budget - 1e-6
    assert not any(delta.requires_grad for noise in walked for delta in noise.values())


@pytest.mark.parametrize("kind", NETWORKS)
def test_walks_in_one_batch_are_walks_one_by_one(kind: str) -> None:
    noisy = noisy_network(NETWORKS[kind]())
    assert isinstance(noisy, NormNoise | NeuronNoise)
    start, (images, labels) = drawn(noisy, 0.1), images_and_labels()
    together = list(walk(noisy, images, labels, start, CLIMB))
    for group in range(GROUPS):
        own = slice(group * SIZE, (group + 1) * SIZE)
        alone = walk(
            noisy,
            images[own],
            labels[own],
            {name: delta[group : group + 1] for name, delta in start.items()},
            CLIMB,
        )
        for here, there in zip(together, alone, strict=True):
            for name in start:
                assert torch.allclose(here[name][group], there[name][0], atol=1e-5), name


def test_a_layer_that_does_not_run_keeps_its_noise() -> None:
    network = toy_network()
    network.add_module("flatten", nn.Flatten())
    network.get_submodule("9").register_module("spare", nn.BatchNorm2d(4))
    noisy = noisy_network(network)
    assert isinstance(noisy, NormNoise)
    start = drawn(noisy, 0.1)
    images, labels = images_and_labels()
    *_, last = walk(noisy, images, labels, start, CLIMB)
    assert torch.equal(last["9.spare.weight"], start["9.spare.weight"])
    assert not torch.equal(last["1.weight"], start["1.weight"])


def test_a_walk_leaves_no_gradient_behind() -> None:
    network = toy_network()
    noisy = noisy_network(network)
    images, labels = images_and_labels()
    list(walk(noisy, images, labels, drawn(noisy), CLIMB))  # type: ignore[arg-type]
    assert all(parameter.grad is None for parameter in network.parameters())
