import pytest
import torch
from torch import Tensor

from backaudit.nets.hypergradient import hypergradient

A = torch.tensor([[2.0, 0.3], [0.3, 1.0]], dtype=torch.float64)
B = torch.tensor([[1.0, -2.0, 0.5], [0.4, 0.1, 3.0]], dtype=torch.float64)
C = torch.tensor([0.7, -1.2], dtype=torch.float64)
STRIDE = 0.3


def weights() -> Tensor:
    return torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)


def quadratic(solution: Tensor, w: Tensor) -> Tensor:
    """Least at the inverse of A, times B w."""
    return solution @ A @ solution / 2 - solution @ B @ w


def outer(solution: Tensor, w: Tensor) -> Tensor:
    return (solution - C).square().sum() / 2 + w.square().sum() / 2


def of_quadratic(solution: Tensor, w: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    loss, (gradient,) = hypergradient(
        solution,
        [w],
        [lambda each: quadratic(each, w)],
        [lambda each: outer(each, w)],
        steps=steps,
        stride=STRIDE,
    )
    return loss, gradient


def test_many_steps_give_the_gradient_through_the_exact_solution() -> None:
    w = weights()
    exact = torch.linalg.solve(A, B @ w)
    (expected,) = torch.autograd.grad(outer(exact, w), w)
    loss, gradient = of_quadratic(exact, w, steps=200)
    assert torch.allclose(gradient, expected, rtol=1e-9)
    assert float(loss) == pytest.approx(outer(exact, w).item())
    assert not loss.requires_grad


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_some_steps_give_as_many_terms_of_the_series(steps: int) -> None:
    w, solution = weights(), torch.tensor([0.2, 0.9], dtype=torch.float64)
    step = torch.eye(2, dtype=torch.float64) - STRIDE * A
    series = sum(torch.linalg.matrix_power(step, power) for power in range(steps))
    expected = w.detach() + STRIDE * B.T @ (series @ (solution - C))
    assert torch.allclose(of_quadratic(solution, w, steps)[1], expected, rtol=1e-9)


def test_it_agrees_with_autograd_through_the_whole_descent_of_a_curved_loss() -> None:
    w = weights()

    def curved(solution: Tensor) -> Tensor:
        return quadratic(solution, w) + (solution + w[:2]).cosh().log().sum()

    solution = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    for _ in range(200):
        (slope,) = torch.autograd.grad(curved(solution), solution, create_graph=True)
        solution = solution - STRIDE * slope
    (expected,) = torch.autograd.grad(outer(solution, w), w)
    _, (gradient,) = hypergradient(
        solution, [w], [curved], [lambda each: outer(each, w)], steps=200, stride=STRIDE
    )
    assert torch.allclose(gradient, expected, rtol=1e-8)


def test_a_weight_that_nothing_depends_on_has_a_gradient_of_zero() -> None:
    w, unused = weights(), torch.ones(2, dtype=torch.float64, requires_grad=True)
    _, (used, none) = hypergradient(
        C,
        [w, unused],
        [lambda each: quadratic(each, w)],
        [lambda each: outer(each, w)],
        steps=2,
        stride=STRIDE,
    )
    assert used.abs().min() > 0
    assert none.tolist() == [0.0, 0.0]


def test_the_solution_and_the_weights_are_left_as_they_are() -> None:
    w, solution = weights(), C.clone()
    of_quadratic(solution, w, 3)
    assert torch.equal(solution, C)
    assert not solution.requires_grad
    assert w.grad is None


@pytest.mark.parametrize("steps", [1, 4])
def test_losses_in_parts_are_their_sum(steps: int) -> None:
    def twisted(solution: Tensor, share: float) -> Tensor:
        return share * (quadratic(solution, w) + (solution + w[:2]).cosh().log().sum())

    w, further = weights(), torch.ones(1, dtype=torch.float64, requires_grad=True)
    found = [
        hypergradient(
            C,
            [w, further],
            [lambda each, share=share: twisted(each, share) for share in shares],
            [lambda each, share=share: share * outer(each, w) for share in shares],
            steps=steps,
            stride=STRIDE,
        )
        for shares in ([1.0], [0.25, 0.25, 0.5])
    ]
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-12)
