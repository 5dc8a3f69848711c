from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from backaudit.core.errors import CheckpointError
from backaudit.nets.normalised import (
    LogProbabilities,
    Normalised,
    are_probabilities,
    with_logits,
    without_ends,
)

IMAGES = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def classifier(*end: nn.Module) -> nn.Sequential:
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 5), *end)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network.eval()


class Attention(nn.Module):
    """A softmax layer that runs twice: inside, and at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.softmax = nn.Softmax(1)
        self.fc = nn.Linear(48, 5)

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return self.softmax(self.fc(flat * self.softmax(flat)))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(48, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(images.flatten(1)).softmax(1)


class Ending(nn.Module):
    """Answers with a function of the logits."""

    def __init__(self, end: Callable[[Tensor, int], Tensor]) -> None:
        super().__init__()
        self.end, self.network = end, classifier()

    def forward(self, images: Tensor) -> Tensor:
        return self.end(self.network(images), 1)


class Gated(nn.Module):
    """A softmax, times numbers that make it no distribution."""

    def __init__(self) -> None:
        super().__init__()
        self.network = classifier()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).softmax(1) * 3


def squashed(logits: Tensor, _: int) -> Tensor:
    return logits.sigmoid()


def test_images_are_normalised_channel_by_channel() -> None:
    mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)
    out = Normalised(nn.Identity(), mean, std)(IMAGES)
    for channel in range(3):
        expected = (IMAGES[:, channel] - mean[channel]) / std[channel]
        assert torch.allclose(out[:, channel], expected)


def test_state_dict_is_the_suspects_own() -> None:
    network = classifier()
    wrapped = Normalised(network, (0.5,) * 3, (0.5,) * 3)
    assert set(wrapped.state_dict()) == {f"network.{name}" for name in network.state_dict()}
    assert wrapped.mean.device == next(wrapped.parameters()).device


def test_logits_are_left_alone() -> None:
    network = classifier()
    assert with_logits(network, IMAGES) == (network, None, ())


def test_last_softmax_layer_is_left_out() -> None:
    logits = classifier()(IMAGES)
    network, undone, _ = with_logits(classifier(nn.Softmax(-1)), IMAGES)
    assert torch.equal(network(IMAGES), logits)
    assert undone == "The network ends in a softmax, which was left out."


def test_nested_softmax_layer_is_found() -> None:
    logits = classifier()(IMAGES)
    network, undone, _ = with_logits(classifier(nn.Sequential(nn.Softmax(-1))), IMAGES)
    assert torch.equal(network(IMAGES), logits)
    assert undone is not None


@pytest.mark.parametrize("kind", [Attention, Functional])
def test_where_no_layer_can_be_left_out_the_logarithm_is_taken(kind: type[nn.Module]) -> None:
    probabilities = kind().eval()
    before = probabilities(IMAGES)
    network, undone, _ = with_logits(probabilities, IMAGES)
    assert isinstance(network, LogProbabilities)
    assert torch.allclose(network(IMAGES).softmax(1), before, atol=1e-6)
    assert torch.equal(probabilities(IMAGES), before)
    assert "logarithm" in str(undone)
    assert not any(module._forward_hooks for module in probabilities.modules())


def test_log_softmax_layer_is_left_out() -> None:
    logits = classifier()(IMAGES)
    network, undone, _ = with_logits(classifier(nn.LogSoftmax(-1)), IMAGES)
    assert torch.equal(network(IMAGES), logits)
    assert undone == "The network ends in a log-softmax, which was left out."


def test_two_ends_are_left_out() -> None:
    logits = classifier()(IMAGES)
    network, undone, _ = with_logits(classifier(nn.Softmax(-1), nn.Softmax(-1)), IMAGES)
    assert torch.equal(network(IMAGES), logits)
    assert undone == "The network ends in a softmax and a softmax, which was left out."


def test_sigmoid_layer_is_left_out() -> None:
    logits = classifier()(IMAGES)
    network, undone, _ = with_logits(classifier(nn.Sigmoid()), IMAGES)
    assert torch.equal(network(IMAGES), logits)
    assert undone == "The network ends in a sigmoid, which was left out."


@pytest.mark.parametrize(
    ("end", "said"), [(torch.log_softmax, "log-probabilities"), (squashed, "may end in a sigmoid")]
)
def test_functions_that_cannot_be_left_out_are_said(
    end: Callable[[Tensor, int], Tensor], said: str
) -> None:
    network = Ending(end)
    same, told, _ = with_logits(network, IMAGES)
    assert same is network
    assert said in str(told)


@pytest.mark.parametrize("end", [torch.softmax, torch.log_softmax, nn.functional.softmax])
def test_function_at_the_end_of_a_graph_is_cut_out(end: Callable[[Tensor, int], Tensor]) -> None:
    graph = fx.symbolic_trace(Ending(end)).eval()
    network, undone, _ = with_logits(nn.Sequential(graph), IMAGES)
    assert torch.allclose(end(network(IMAGES), 1), Ending(end)(IMAGES), atol=1e-6)
    assert not any(node.name.endswith("softmax") for node in graph.graph.nodes)
    assert "was left out" in str(undone)


def test_softmax_in_a_graph_that_is_not_its_end_is_kept() -> None:
    graph = fx.symbolic_trace(Gated()).eval()
    before = graph(IMAGES)
    network, undone, _ = with_logits(graph, IMAGES)
    assert undone is None
    assert torch.equal(network(IMAGES), before)


def test_logarithm_of_a_probability_of_zero_is_finite() -> None:
    certain = LogProbabilities(nn.Identity())(torch.tensor([[1.0, 0.0]]))
    assert bool(certain.isfinite().all())


def test_what_are_probabilities() -> None:
    assert are_probabilities(torch.tensor([[0.2, 0.8], [1.0, 0.0]]))
    assert not are_probabilities(torch.tensor([[0.2, 0.9]]))
    assert not are_probabilities(torch.tensor([[-0.5, 1.5]]))
    assert not are_probabilities(torch.tensor([[0.2, 0.8], [0.5, 0.6]]))


@pytest.mark.parametrize(
    ("made", "ends"),
    [
        (lambda: classifier(nn.Softmax(-1), nn.Softmax(-1)), ("softmax", "softmax")),
        (lambda: classifier(nn.LogSoftmax(-1)), ("log_softmax",)),
        (lambda: classifier(nn.Sigmoid()), ("sigmoid",)),
        (lambda: nn.Sequential(fx.symbolic_trace(Ending(torch.softmax))), ("softmax",)),
        (lambda: Ending(torch.softmax), ("logarithm",)),
        (classifier, ()),
    ],
)
def test_ends_are_undone_again_whatever_the_images_are(
    made: Callable[[], nn.Module], ends: tuple[str, ...]
) -> None:
    first = with_logits(made().eval(), IMAGES)
    assert first.ends == ends
    again = without_ends(made().eval(), torch.zeros(1, 3, 4, 4), first.ends)
    assert torch.equal(again(IMAGES), first.network(IMAGES))


@pytest.mark.parametrize("ends", [("softmax",), ("sigmoid", "softmax"), ("whatever",)])
def test_an_end_that_is_not_there_is_no_end(ends: tuple[str, ...]) -> None:
    with pytest.raises(CheckpointError, match="does not end in"):
        without_ends(classifier(), IMAGES, ends)
