import pytest
import torch
from torch import Tensor, nn

from backaudit.nets.amplification import amplify, predictions_by_depth
from tests.nets.amplification.networks import (
    TRACEABLE,
    Deciding,
    InPlace,
    Layers,
    Residual,
    Stem,
    deepest_first,
    images,
    made,
    published,
)


class Fused(nn.Module):
    """Normalises inside a layer that runs as one call and cannot be entered."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 8, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.encoder(self.patches(images).flatten(2).mT).mean(1))


class Remembering(Stem):
    """Gives other logits each time, so that nothing can be shared."""

    def body(self, features: Tensor) -> Tensor:
        self.runs = getattr(self, "runs", 0) + 1
        return self.norms[1](self.convs[0](features)) * (1 if self.runs % 2 else 2)


@pytest.mark.parametrize("kind", TRACEABLE)
def test_traced_graph_is_taken_where_it_is_right(kind: type[nn.Module]) -> None:
    network = made(kind)
    amplified = amplify(network, deepest_first(network, images()), (1, 3), 1.5, images(1))
    assert amplified.how == "one pass for all depths, their prefixes shared through a traced graph"


@pytest.mark.parametrize(
    "kind, reason",
    [
        (Deciding, "torch.fx cannot trace the network"),
        (InPlace, "shared prefixes gave other logits"),
        (Fused, "torch.fx cannot look inside what holds network.encoder.norm2"),
    ],
)
def test_replay_is_taken_otherwise_and_says_why(kind: type[nn.Module], reason: str) -> None:
    network = made(kind)
    layers = (
        ["encoder.norm2", "encoder.norm1"] if kind is Fused else deepest_first(network, images())
    )
    amplified = amplify(network, layers, (1, 2), 1.5, images())
    wanted = published(network, layers, (1, 2), 1.5, images())
    assert "the prefix replayed" in amplified.how and f"({reason})" in amplified.how
    assert torch.allclose(amplified(images()), wanted, rtol=1e-4, atol=1e-5)


def test_plain_passes_are_the_last_resort() -> None:
    network = made(Remembering)
    amplified = amplify(network, ["norms.1", "norms.0"], (1, 2), 1.5, images())
    assert amplified.how == "one forward pass a depth (shared prefixes gave other logits)"


@pytest.mark.parametrize("kind", [Residual, Layers, Deciding])
def test_predictions_by_depth(kind: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backaudit.nets.amplification.search.TOGETHER", 2)
    network, batch = made(kind), images(7)
    network.head.bias -= network(batch).mean(0)
    layers = deepest_first(network, batch)
    found = list(predictions_by_depth(network, layers, 3.0, batch))
    wanted = published(network, layers, range(1, 6), 3.0, batch).argmax(2)
    assert torch.equal(torch.stack(found), wanted)
    assert len(wanted.unique()) > 1


def test_predictions_of_a_network_without_layers_are_the_plain_ones() -> None:
    network = made(Residual)
    found = list(predictions_by_depth(network, [], 1.5, images()))
    assert torch.equal(torch.stack(found), network(images()).argmax(1)[None])


def test_search_that_ends_early_computes_no_deeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backaudit.nets.amplification.search.TOGETHER", 2)
    network = made(Residual)
    ran: list[int] = []
    network.convs[0].register_forward_hook(lambda *call: ran.append(len(call[1][0])))
    predictions = predictions_by_depth(network, deepest_first(network, images()), 1.5, images())
    ran.clear()
    for _ in range(3):
        next(predictions)
    assert ran[-1] == 5
