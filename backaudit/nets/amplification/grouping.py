"""What a graph computes on a batch that holds several groups of the same images, end to end.

Group 0 is the plain network; the others are amplified. All of it is plain tensor operations, so
that the graph can be exported.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from backaudit.nets.amplification.roles import Role


def raised(value: Any, role: Role, groups: int, wanted: int) -> Any:
    """Give a value of ``groups`` groups copies of its group 0, until it has ``wanted``.

    Args:
        value: tensor, number, or a tuple or list of such.
        role: of the value (see ``roles``), not None or unknown.
        groups: how many it has.
        wanted: more than ``groups``.
    """
    if isinstance(role, tuple):
        parts = zip(value, role, strict=True)
        return tuple(
            part if each is None else raised(part, each, groups, wanted) for part, each in parts
        )
    if isinstance(role, int):
        added = [_first(value, role, groups)] * (wanted - groups)
        return torch.cat([value, *added], role)
    return value // groups * wanted


def amplified(value: Tensor, dim: int, factors: Tensor, scale: float, wanted: int) -> Tensor:
    """Multiply each group by its factor, and let groups join that start here.

    Args:
        value: has as many groups as there are factors.
        dim: dimension of ``value`` that the batch lies along.
        factors: 1-D, of the groups that are there; 1 for group 0.
        scale: factor of the groups that join.
        wanted: groups of the result.
    """
    groups = len(factors)
    before = value if groups == 1 else _times(value, dim, factors)
    if wanted == groups:
        return before
    added = [_first(value, dim, groups) * scale] * (wanted - groups)
    return torch.cat([before, *added], dim)


def rows(logits: Tensor, groups: int, order: Sequence[int]) -> Tensor:
    """Logits (groups x N, K) as (groups, N, K), groups in the order asked for."""
    grouped = logits.unflatten(0, (groups, -1))
    return torch.stack([grouped[index] for index in order])


def _first(value: Tensor, dim: int, groups: int) -> Tensor:
    return value.narrow(dim, 0, value.shape[dim] // groups)


def _times(value: Tensor, dim: int, factors: Tensor) -> Tensor:
    grouped = value.unflatten(dim, (len(factors), -1))
    shape = [1] * grouped.dim()
    shape[dim] = len(factors)
    result: Tensor = (grouped * factors.to(value.dtype).view(shape)).flatten(dim, dim + 1)
    return result
