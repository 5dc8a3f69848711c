"""A chain, filled in -> the steps of a forward pass, and a network that takes them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.nets.chains.filling import Filling, padding, stride
from backaudit.nets.chains.reading import Chain, Layer, Unit

Operation = Literal["layer", "activation", "max", "average", "grid", "flatten"]


@dataclass(frozen=True)
class Step:
    """One step of the forward pass.

    Args:
        operation: what is done.
        layer: that is applied, where the operation is ``layer``.
        stride: of a convolution.
        padding: of a convolution.
    """

    operation: Operation
    layer: Layer | None = None
    stride: int = 1
    padding: tuple[int, int] = (0, 0)


def steps(chain: Chain, filling: Filling) -> Iterator[Step]:
    """The forward pass, from images to logits."""
    last, convs = chain.units[-1], len(chain.convs)
    if not convs:
        yield Step("flatten")
    for index, unit in enumerate(chain.units):
        if index == convs > 0:
            if filling.pooled:
                yield Step("grid")
            yield Step("flatten")
        if unit is last:
            yield _step(unit, filling, index)
            if unit.norm is not None:
                yield Step("layer", unit.norm)
        else:
            yield from _unit_steps(unit, filling, index)
    if not chain.linears:
        yield Step("grid")
        yield Step("flatten")


def _unit_steps(unit: Unit, filling: Filling, index: int) -> Iterator[Step]:
    yield _step(unit, filling, index)
    early = unit.norm is not None and bool(unit.inside)
    if early:
        yield Step("activation")
    if unit.norm is not None:
        yield Step("layer", unit.norm)
    if not early and unit.after != 0:
        yield Step("activation")
    if unit.layer.kind == "conv" and filling.reduced[index] and filling.reduction != "stride":
        yield Step(filling.reduction)


def _step(unit: Unit, filling: Filling, index: int) -> Step:
    if unit.layer.kind != "conv":
        return Step("layer", unit.layer)
    pad = padding(unit.layer.kernel, same=filling.same)
    return Step("layer", unit.layer, stride(unit, filling, index), pad)


class ChainNetwork(nn.Module):
    """A chain as it was filled in, with the names of the file.

    Args:
        chain: its layers.
        filling: the rest.
    """

    def __init__(self, chain: Chain, filling: Filling) -> None:
        super().__init__()
        self.steps = tuple(steps(chain, filling))
        self.grid = max(1, chain.grid)
        norm: type[nn.Module] = nn.BatchNorm2d
        for step in self.steps:
            if step.operation == "flatten":
                norm = nn.BatchNorm1d
            if step.layer is not None:
                _put(self, step.layer.name, _module(step, step.layer, norm))
        self.activation_of_all = activation(filling.activation)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, K)."""
        features = images
        for step in self.steps:
            features = self._applied(step, features)
        return features

    def _applied(self, step: Step, features: Tensor) -> Tensor:
        if step.layer is not None:
            answer: Tensor = self.get_submodule(step.layer.name)(features)
            return answer
        plain: dict[Operation, Callable[[Tensor], Tensor]] = {
            "activation": self.activation_of_all,
            "max": partial(F.max_pool2d, kernel_size=2),
            "average": partial(F.avg_pool2d, kernel_size=2),
            "grid": partial(F.adaptive_avg_pool2d, output_size=self.grid),
            "flatten": partial(torch.flatten, start_dim=1),
        }
        return plain[step.operation](features)


def activation(name: str) -> nn.Module:
    """The layer of a name such as ``ReLU`` or ``LeakyReLU(0.1)``."""
    kind, _, argument = name.rstrip(")").partition("(")
    layer: nn.Module = getattr(nn, kind)(*([float(argument)] if argument else []))
    return layer


def _module(step: Step, layer: Layer, norm: type[nn.Module]) -> nn.Module:
    if layer.kind == "norm":
        made: nn.Module = norm(layer.outputs, affine=layer.bias)
        return made
    if layer.kind == "linear":
        return nn.Linear(layer.inputs, layer.outputs, bias=layer.bias)
    return nn.Conv2d(
        layer.inputs,
        layer.outputs,
        layer.kernel,
        step.stride,
        step.padding,
        groups=layer.groups,
        bias=layer.bias,
    )


def _put(network: nn.Module, name: str, layer: nn.Module) -> None:
    *parents, own = name.split(".")
    place = network
    for parent in parents:
        if not hasattr(place, parent):
            place.add_module(parent, nn.Module())
        place = place.get_submodule(parent)
    place.add_module(own, layer)
