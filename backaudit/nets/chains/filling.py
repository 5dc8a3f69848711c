"""What shapes do not tell of a chain, and the few usual ways to fill it in."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import Literal

from backaudit.nets.chains.reading import Chain, Unit

Reduction = Literal["max", "average", "stride"]
# The first is by far the most usual.
ACTIVATIONS = ("ReLU", "ELU", "LeakyReLU(0.1)", "LeakyReLU(0.2)", "GELU", "SiLU", "Tanh", "Sigmoid")
COLOUR_SIZES = (32, 64, 224, 28, 48, 96, 128)
GREY_SIZES = (28, 32, 64, 224, 48, 96, 128)
MOST_GEOMETRIES = 24
ENUMERATED = 7


@dataclass(frozen=True)
class Filling:
    """One way to fill in what shapes leave open.

    Args:
        in_channels: of the images.
        size: height and width of the images in pixels.
        same: whether convolutions pad to keep the size, rather than not at all.
        reduced: for each convolution, whether the resolution is halved at it.
        reduction: how it is halved.
        pooled: whether the rest is averaged to the grid that the first linear layer takes.
        activation: after every layer but the last.
    """

    in_channels: int
    size: int
    same: bool
    reduced: tuple[bool, ...]
    reduction: Reduction = "max"
    pooled: bool = False
    activation: str = ACTIVATIONS[0]

    def describe(self) -> str:
        """Say it in words."""
        words = [self.activation]
        if self.reduced:
            kinds = {"max": "max pooling", "average": "average pooling", "stride": "stride 2"}
            where = [str(index + 1) for index, here in enumerate(self.reduced) if here]
            each = "each convolution" if all(self.reduced) else f"convolution {', '.join(where)}"
            words.append(f"{kinds[self.reduction]} at {each}" if where else "no pooling")
            words.append("padded convolutions" if self.same else "convolutions without padding")
            if self.pooled:
                words.append("the rest averaged")
        return f"{', '.join(words)}, for images of {self.size}x{self.size}"


def padding(kernel: tuple[int, int], *, same: bool) -> tuple[int, int]:
    """Usual padding of a convolution; even kernels that halve the size are padded by less."""
    return ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2) if same else (0, 0)


def stride(unit: Unit, filling: Filling, index: int) -> int:
    """Stride of the convolution ``index``: 2 where it halves the size by itself."""
    return 2 if filling.reduction == "stride" and filling.reduced[index] else 1


def geometries(chain: Chain, size: int | None = None) -> list[Filling]:
    """The fillings with the first activation whose sizes work out, the most usual first.

    Args:
        chain: the layers.
        size: height and width that images probably have; any usual one if none works out with it.
    """
    if not chain.convs:
        return list(_flat(chain))
    usual = GREY_SIZES if chain.convs[0].layer.inputs == 1 else COLOUR_SIZES
    return (_of_sizes(chain, (size,)) if size else []) or _of_sizes(chain, usual)


def _of_sizes(chain: Chain, sizes: tuple[int, ...]) -> list[Filling]:
    exact = list(_sized(chain, sizes, _patterns(chain)))
    if not exact and len(chain.convs) <= ENUMERATED:
        every = list(product((True, False), repeat=len(chain.convs)))
        exact = list(_sized(chain, sizes, every))
    averaged: list[Filling] = []
    if chain.grid <= 1 or not exact:
        averaged = list(_sized(chain, sizes[:1], _patterns(chain), pooled=True))
    return list(islice(dict.fromkeys([*exact, *averaged]), MOST_GEOMETRIES))


def _flat(chain: Chain) -> Iterator[Filling]:
    features = chain.units[0].layer.inputs
    for channels, sizes in ((1, GREY_SIZES), (3, COLOUR_SIZES)):
        for size in sizes:
            if channels * size * size == features:
                yield Filling(channels, size, same=True, reduced=())


def _sized(
    chain: Chain,
    sizes: tuple[int, ...],
    patterns: list[tuple[bool, ...]],
    *,
    pooled: bool = False,
) -> Iterator[Filling]:
    in_channels = chain.convs[0].layer.inputs
    reductions: tuple[Reduction, ...] = ("max", "average", "stride")
    for size, pattern, reduction, same in product(sizes, patterns, reductions, (True, False)):
        if reduction != "max" and not any(pattern):
            continue
        if reduction != "stride" and not _has_room(chain, pattern):
            continue
        filling = Filling(in_channels, size, same, pattern, reduction, pooled)
        left = _left(chain, filling)
        if (left > chain.grid if pooled else left == chain.grid) and left:
            yield filling


def _patterns(chain: Chain) -> list[tuple[bool, ...]]:
    """Usual places to halve the resolution, first those that the numbering speaks for."""
    widths = [unit.layer.outputs for unit in chain.convs]
    last = len(widths) - 1
    stages = tuple(index == last or widths[index + 1] > widths[index] for index in range(last + 1))
    depthwise = tuple(
        unit.layer.groups > 1 and index < last and widths[index + 1] > widths[index]
        for index, unit in enumerate(chain.convs)
    )
    first = depthwise.index(True) if any(depthwise) else 0
    found = [
        # Depthwise convolutions halve before the next one widens, but not in the first block.
        tuple(here and index > first for index, here in enumerate(depthwise)),
        depthwise,
    ] * any(depthwise)
    found += [
        tuple(room(unit, chain) != 0 for unit in chain.convs),
        stages,
        (*stages[:-1], False),
        # A convolution that widens and halves at once.
        tuple(index > 0 and widths[index] > widths[index - 1] for index in range(last + 1)),
        (True,) * (last + 1),
        tuple(index % 2 == 1 for index in range(last + 1)),
        tuple(index == last for index in range(last + 1)),
        (False,) * (last + 1),
    ]
    return list(dict.fromkeys(found))


def _has_room(chain: Chain, pattern: tuple[bool, ...]) -> bool:
    units = zip(chain.convs, pattern, strict=True)
    return not any(pooled and room(unit, chain) == 0 for unit, pooled in units)


def room(unit: Unit, chain: Chain) -> int | None:
    """How many layers could stand after a convolution besides its activation; None if unknown."""
    if unit.after is None:
        return None
    flatten = chain.linears and unit.layer == chain.convs[-1].layer
    taken = (0 if unit.inside else 1) + (1 if flatten else 0)
    return max(0, unit.after - taken)


def _left(chain: Chain, filling: Filling) -> int:
    """Height and width of what is left after the convolutions; 0 if nothing is."""
    size = filling.size
    for index, unit in enumerate(chain.convs):
        kernel, pad = unit.layer.kernel, padding(unit.layer.kernel, same=filling.same)
        step = stride(unit, filling, index)
        size = (size + 2 * pad[0] - kernel[0]) // step + 1
        if filling.reduced[index] and step == 1:
            size //= 2
        if size < 1:
            return 0
    return size
