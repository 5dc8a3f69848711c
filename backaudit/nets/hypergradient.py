"""The gradient of a loss at the solution of another minimisation, without solving it again."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def hypergradient(
    solution: Tensor,
    weights: Sequence[Tensor],
    inner: Callable[[Tensor], Tensor],
    outer: Callable[[Tensor], Tensor],
    *,
    steps: int,
    stride: float,
) -> tuple[Tensor, list[Tensor]]:
    """Differentiate ``outer(solution(weights))`` by the weights (implicit function theorem).

    The solution is where a gradient step of the inner loss, of length ``stride``, leads back to
    itself; the linear system that follows from it is solved by fixed-point steps (Grazzi et al., On
    the Iteration Complexity of Hypergradient Computation, ICML 2020, Algorithm 2).

    Args:
        solution: roughly minimises the inner loss.
        weights: require gradients; both losses depend on them.
        inner: scalar loss of a solution, twice differentiable by it and by the weights.
        outer: scalar loss of a solution.
        steps: of the fixed point, at least 1.
        stride: small enough that a gradient step of the inner loss is a contraction; where it is
            none, more steps are worse.

    Returns:
        The outer loss, and its gradient for each of the weights.
    """
    solution = solution.detach().requires_grad_()
    loss = outer(solution)
    at_solution, *direct = torch.autograd.grad(loss, [solution, *weights], materialize_grads=True)
    (slope,) = torch.autograd.grad(inner(solution), solution, create_graph=True)
    stepped = solution - stride * slope
    vector = at_solution
    for _ in range(steps - 1):
        (carried,) = torch.autograd.grad(stepped, solution, vector, retain_graph=True)
        vector = carried + at_solution
    implicit = torch.autograd.grad(stepped, list(weights), vector, materialize_grads=True)
    total = [one + other for one, other in zip(direct, implicit, strict=True)]
    return loss.detach(), total
