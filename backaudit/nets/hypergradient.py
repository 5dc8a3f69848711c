"""The gradient of a loss at the solution of another minimisation, without solving it again."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

Loss = Callable[[Tensor], Tensor]


def hypergradient(
    solution: Tensor,
    weights: Sequence[Tensor],
    inner: Sequence[Loss],
    outer: Sequence[Loss],
    *,
    steps: int,
    stride: float,
) -> tuple[Tensor, list[Tensor]]:
    """Differentiate ``outer(solution(weights))`` by the weights (implicit function theorem).

    The solution is where a gradient step of the inner loss, of length ``stride``, leads back to
    itself; the linear system that follows from it is solved by fixed-point steps (Grazzi et al., On
    the Iteration Complexity of Hypergradient Computation, ICML 2020, Algorithm 2).

    Both losses are sums of terms, such as parts of a batch, and memory holds one term at a time. An
    inner loss of several terms is computed anew in each step; that of one is computed once.

    Args:
        solution: roughly minimises the inner loss.
        weights: require gradients; both losses depend on them.
        inner: scalar terms of the loss of a solution, twice differentiable by it and the weights.
        outer: scalar terms of the loss of a solution.
        steps: of the fixed point, at least 1.
        stride: small enough that a gradient step of the inner loss is a contraction; where it is
            none, more steps are worse.

    Returns:
        The outer loss, and its gradient for each of the weights.
    """
    solution = solution.detach().requires_grad_()
    loss, (at_solution, *direct) = gradients(outer, solution, [solution, *weights])
    slopes = _Slopes(inner, solution)
    vector = at_solution
    for _ in range(steps - 1):
        (curved,) = slopes.products(-stride * vector, [solution])
        vector = vector + curved + at_solution
    implicit = slopes.products(-stride * vector, weights)
    return loss, [one + other for one, other in zip(direct, implicit, strict=True)]


def gradients(
    terms: Sequence[Loss], solution: Tensor, leaves: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """The sum of scalar terms at ``solution``, and its gradient for each of the leaves."""

    def differentiated(term: Loss) -> list[Tensor]:
        value = term(solution)
        return [value.detach(), *torch.autograd.grad(value, leaves, materialize_grads=True)]

    loss, *slopes = _sums(differentiated(term) for term in terms)
    return loss, slopes


class _Slopes:
    """The slopes of a loss's terms at the solution, as they depend on it and on the weights."""

    def __init__(self, terms: Sequence[Loss], solution: Tensor) -> None:
        self._terms = terms
        self._solution = solution
        self._only = self._slope(terms[0]) if len(terms) == 1 else None

    def products(self, vector: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
        """The derivatives of the slopes by each of the leaves, summed and times ``vector``."""
        return _sums(self._product(term, vector, leaves) for term in self._terms)

    def _product(self, term: Loss, vector: Tensor, leaves: Sequence[Tensor]) -> Sequence[Tensor]:
        kept = self._only is not None
        slope = self._slope(term) if self._only is None else self._only
        return torch.autograd.grad(slope, leaves, vector, retain_graph=kept, materialize_grads=True)

    def _slope(self, term: Loss) -> Tensor:
        (slope,) = torch.autograd.grad(term(self._solution), self._solution, create_graph=True)
        return slope


def _sums(rows: Iterator[Sequence[Tensor]]) -> list[Tensor]:
    """Add up tensors that stand at the same place; no row outlives its addition."""
    totals = list(next(rows))
    for row in rows:
        totals = [one + other for one, other in zip(totals, row, strict=True)]
    return totals
