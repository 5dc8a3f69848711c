"""Named shapes -> the layers of a plain chain, in the order they run in, if they are one."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isqrt
from typing import Literal

from backaudit.nets.architectures.candidate import Shapes

NORM_PARTS = {"running_mean", "running_var"}
PARTS = {"weight", "bias", "num_batches_tracked", *NORM_PARTS}
MOST_LAYERS = 200


@dataclass(frozen=True)
class Layer:
    """A layer, as far as shapes tell.

    Args:
        name: dotted.
        kind: what it is.
        inputs: channels or features that it takes.
        outputs: channels or features that it gives.
        kernel: height and width of a convolution.
        groups: of a convolution.
        bias: whether it has one; of a norm, whether it is affine.
    """

    name: str
    kind: Literal["conv", "linear", "norm"]
    inputs: int
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    groups: int = 1
    bias: bool = True


@dataclass(frozen=True)
class Unit:
    """A convolution or linear layer, what normalises its outputs, and what is known to follow.

    Args:
        layer: the convolution or linear layer.
        norm: batch norm of its outputs, if there is one.
        inside: how many layers without tensors lie between layer and norm; None if unknown.
        after: how many lie between this unit and the next; None if unknown.
    """

    layer: Layer
    norm: Layer | None = None
    inside: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class Chain:
    """Convolutions, then linear layers; one of the two kinds may be missing.

    Args:
        units: in the order they run in.
    """

    units: tuple[Unit, ...]

    @property
    def convs(self) -> tuple[Unit, ...]:
        """The units that are convolutions."""
        return tuple(unit for unit in self.units if unit.layer.kind == "conv")

    @property
    def linears(self) -> tuple[Unit, ...]:
        """The units that are linear layers."""
        return tuple(unit for unit in self.units if unit.layer.kind == "linear")

    @property
    def num_classes(self) -> int:
        """Outputs of the last layer."""
        return self.units[-1].layer.outputs

    @property
    def grid(self) -> int:
        """Height and width of what reaches the first linear layer; 0 if there is none."""
        if not self.convs or not self.linears:
            return 0
        return isqrt(self.linears[0].layer.inputs // self.convs[-1].layer.outputs)

    def describe(self) -> str:
        """Say what it consists of."""
        kinds = (
            (len(self.convs), "convolution"),
            (sum(unit.norm is not None for unit in self.units), "batch norm"),
            (len(self.linears), "linear layer"),
        )
        parts = [f"{number} {kind}{'s' * (number != 1)}" for number, kind in kinds if number]
        return ", ".join(parts)


def read_chain(shapes: Shapes) -> Chain | None:
    """Read a chain; None if the tensors are no chain, or their order cannot be told."""
    layers = _layers(shapes)
    if layers is None:
        return None
    maps = [layer for layer in layers if layer.kind != "norm"]
    norms = [layer for layer in layers if layer.kind == "norm"]
    orders: tuple[Callable[[list[Layer]], list[Layer]], ...] = (
        lambda found: found,
        _convolutions_first,
        lambda found: _convolutions_first(sorted(found, key=_natural)),
    )
    for order in orders:
        linked = _linked(order(maps))
        paired = linked and _paired(linked, norms, layers)
        if paired:
            return Chain(_with_gaps(paired))
    return None


def _layers(shapes: Shapes) -> list[Layer] | None:
    """The layers in order of registration; None if some tensor belongs to no layer known here."""
    parts: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        layer, _, part = name.rpartition(".")
        if not layer or part not in PARTS:
            return None
        parts.setdefault(layer, {})[part] = shape
    if len(parts) > MOST_LAYERS:
        return None
    layers = [_layer(name, found) for name, found in parts.items()]
    known = [layer for layer in layers if layer is not None]
    return known if len(known) == len(layers) else None


def _layer(name: str, parts: dict[str, tuple[int, ...]]) -> Layer | None:
    weight, bias = parts.get("weight", ()), "bias" in parts
    if parts.keys() >= NORM_PARTS and len(parts["running_mean"]) == 1:
        channels = parts["running_mean"][0]
        return Layer(name, "norm", channels, channels, bias="weight" in parts)
    if NORM_PARTS & parts.keys() or 0 in weight:
        return None
    if len(weight) == 4:
        kernel = weight[2], weight[3]
        return Layer(name, "conv", weight[1], weight[0], kernel, bias=bias)
    if len(weight) == 2:
        return Layer(name, "linear", weight[1], weight[0], bias=bias)
    return None


def _convolutions_first(layers: Iterable[Layer]) -> list[Layer]:
    return sorted(layers, key=lambda layer: layer.kind != "conv")


def _natural(layer: Layer) -> list[tuple[bool, int, str]]:
    parts = re.findall(r"\d+|\D+", layer.name)
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _linked(maps: Sequence[Layer]) -> list[Layer]:
    """The layers with their groups, if each takes what the one before it gives; else nothing."""
    linked: list[Layer] = []
    for layer in maps:
        taken = _following(layer, linked[-1]) if linked else layer
        if taken is None:
            return []
        linked.append(taken)
    return linked


def _following(layer: Layer, before: Layer) -> Layer | None:
    if layer.kind == before.kind == "linear":
        return layer if layer.inputs == before.outputs else None
    if layer.kind == "linear":
        area, rest = divmod(layer.inputs, before.outputs)
        return layer if rest == 0 and isqrt(area) ** 2 == area else None
    if before.kind == "linear":
        return None
    if layer.inputs == before.outputs:
        return layer
    # Each channel by itself; other groups are too rare to be worth mistaking a shortcut for them.
    if layer.inputs != 1 or layer.outputs % before.outputs:
        return None
    return replace(layer, inputs=before.outputs, groups=before.outputs)


def _paired(maps: list[Layer], norms: list[Layer], layers: list[Layer]) -> list[Unit]:
    """Give each norm to its layer: the one registered before it, or of its number, or in turn."""
    before = {layer.name: earlier.name for earlier, layer in pairwise(layers)}
    by_name = {layer.name: layer for layer in maps}
    rules: tuple[Callable[[Layer, int], Layer | None], ...] = (
        lambda norm, _: by_name.get(before.get(norm.name, "")),
        lambda norm, _: _only([layer for layer in maps if _belongs(norm, layer)]),
        lambda _, index: maps[index] if index < len(maps) else None,
    )
    for rule in rules:
        owners = [rule(norm, index) for index, norm in enumerate(norms)]
        owned = {
            owner.name: norm
            for owner, norm in zip(owners, norms, strict=True)
            if owner is not None and owner.outputs == norm.outputs
        }
        if len(owned) == len(norms):
            return [Unit(layer, owned.get(layer.name)) for layer in maps]
    return []


def _belongs(norm: Layer, layer: Layer) -> bool:
    return _numbers(norm.name) == _numbers(layer.name) and norm.outputs == layer.outputs


def _only(found: list[Layer]) -> Layer | None:
    return found[0] if len(found) == 1 else None


def _numbers(name: str) -> list[str]:
    return re.findall(r"\d+", name)


def _with_gaps(units: list[Unit]) -> tuple[Unit, ...]:
    """Add what the numbering of sequences tells about layers without tensors."""
    lasts = [unit.norm or unit.layer for unit in units]
    afters = [
        _gap(last, following.layer) for last, following in zip(lasts, units[1:], strict=False)
    ]
    # A list of layers that are called one by one is numbered without gaps, and tells nothing.
    lists = {
        _place(unit.layer)[0]
        for unit, after in zip(units, afters, strict=False)
        if after == 0 and unit.layer.groups == 1
    }
    full = []
    for unit, after in zip(units, [*afters, None], strict=True):
        inside = _gap(unit.layer, unit.norm) if unit.norm is not None else None
        told = _place(unit.layer)[0] not in lists
        full.append(replace(unit, inside=inside, after=after if told else None))
    return tuple(full)


def _gap(before: Layer, after: Layer) -> int | None:
    (place, first), (same, second) = _place(before), _place(after)
    if place != same or not (first.isdecimal() and second.isdecimal()):
        return None
    return max(0, int(second) - int(first) - 1)


def _place(layer: Layer) -> tuple[str, str]:
    parent, _, own = layer.name.rpartition(".")
    return parent, own
