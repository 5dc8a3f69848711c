from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from tests.programs.networks import (
    NETWORKS,
    Plain,
    Residual,
    built,
    contents,
    images,
    jit_bytes,
    network,
    quietly,
    scripted,
    tensors,
    traced,
)

KINDS = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)


def saved(made: nn.Module, how: str, example: Tensor) -> bytes:
    return scripted(made) if how == "scripted" else traced(made, example)


def layers(made: nn.Module) -> set[tuple[str, type[nn.Module]]]:
    return {(name, type(each)) for name, each in made.named_modules() if isinstance(each, KINDS)}


@pytest.mark.parametrize("how", ["scripted", "traced"])
@pytest.mark.parametrize("name", NETWORKS)
def test_rebuilt_with_the_same_answers_and_layers(tmp_path: Path, name: str, how: str) -> None:
    kind, shape = NETWORKS[name]
    made = network(kind)
    found = built(tmp_path, saved(made, how, images(1, shape)))
    for count in (1, 3):
        batch = images(count, shape)
        assert torch.equal(found.network(batch), made(batch))
    assert layers(found.network) == layers(made)
    assert found.in_channels == shape[0]
    assert found.num_classes == made(images(1, shape)).shape[1]
    assert sum(p.numel() for p in found.network.parameters()) == sum(
        p.numel() for p in made.parameters()
    )
    found.network(images(2, shape)).sum().backward()
    assert all(p.grad is not None for p in found.network.parameters())


@pytest.mark.parametrize("how", ["scripted", "traced"])
def test_tensors_have_the_names_of_the_state_dict(tmp_path: Path, how: str) -> None:
    made = network(Plain)
    found: Any = contents(tmp_path, saved(made, how, images(1, (3, 32, 32)))).saved
    state = made.state_dict()
    assert list(found) == list(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in tensors(found).items())


def test_the_size_is_found(tmp_path: Path) -> None:
    assert built(tmp_path, scripted(network(Plain))).input_size == (32, 32)
    free = built(tmp_path, scripted(network(Residual)))
    assert free.input_size is None
    assert torch.equal(
        free.network(images(2, (3, 48, 40))), network(Residual)(images(2, (3, 48, 40)))
    )


def test_frozen_weights_can_be_trained(tmp_path: Path) -> None:
    made = quietly(lambda: torch.jit.freeze(torch.jit.script(network(Residual))))
    data = jit_bytes(made)
    assert "constants.0" in tensors(contents(tmp_path, data).saved)
    found = built(tmp_path, data).network
    batch = images(3, (3, 32, 32))
    assert torch.equal(found(batch), made(batch))
    assert len([each for each in found.modules() if isinstance(each, nn.Conv2d)]) == 3
    found(batch).sum().backward()
    assert all(p.grad is not None and p.requires_grad for p in found.parameters())


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    made = network(Plain).half()
    found = built(tmp_path, scripted(made)).network
    batch = images(2, (3, 32, 32))
    assert torch.equal(found(batch), made.float()(batch))


def test_a_module_saved_in_training_mode_answers_as_in_eval_mode(tmp_path: Path) -> None:
    found = built(tmp_path, scripted(network(Plain).train())).network
    batch = images(3, (3, 32, 32))
    assert torch.equal(found(batch), network(Plain)(batch))


@torch.no_grad()
def test_fused_attention_gets_gradients(tmp_path: Path) -> None:
    kind, shape = NETWORKS["attention"]
    made = network(kind)
    data = traced(made, images(1, shape))
    found = built(tmp_path, data).network
    assert torch.allclose(found(images(3, shape)), made(images(3, shape)), atol=1e-6, rtol=0)
    with torch.enable_grad():
        found(images(2, shape)).sum().backward()
    assert all(p.grad is not None for p in found.parameters())


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def pooled(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.fc(x.mean([2, 3])))


class Unsupported(Head):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cumprod(self.pooled(x), 1)


class DecidesByContent(Head):
    def forward(self, x: Tensor) -> Tensor:
        return self.pooled(x) if bool(x.sum() > 0) else self.pooled(-x)


class DecidesByBatch(Head):
    def forward(self, x: Tensor) -> Tensor:
        return self.pooled(x) if x.size(0) > 2 else self.pooled(-x)


class Mixes(Head):
    def forward(self, x: Tensor) -> Tensor:
        return self.pooled(x - x.mean(0, keepdim=True))


class Remembers(Head):
    count: int

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.count = self.count + 1
        return self.pooled(x)


class PartInPlace(Head):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 1
        y[:, 0].mul_(2)
        return self.pooled(y)


class Maps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.c(x))


class Endless(Head):
    def forward(self, x: Tensor) -> Tensor:
        n = 0
        while n >= 0:
            n = n * 1
        return self.pooled(x)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Unsupported, "aten::cumprod, which is not supported: save the state dict"),
        (DecidesByContent, "decides by what is in an image"),
        (DecidesByBatch, "decides by the number of images"),
        (Mixes, "mixes the images of a batch"),
        (Remembers, "changes its own attributes"),
        (PartInPlace, "changes part of a tensor in place"),
        (Maps, "one row of numbers for each image"),
    ],
)
def test_refused_with_words(tmp_path: Path, kind: type[nn.Module], words: str) -> None:
    data = scripted(network(kind))
    with pytest.raises(CheckpointError, match=words):
        built(tmp_path, data)


def test_a_program_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backaudit.programs.scripts.evaluate.MOST_STEPS", 5000)
    with pytest.raises(CheckpointError, match="takes longer"):
        built(tmp_path, scripted(network(Endless)))


def test_optimised_for_one_machine_is_refused(tmp_path: Path) -> None:
    data = jit_bytes(
        quietly(lambda: torch.jit.optimize_for_inference(torch.jit.script(network(Plain))))
    )
    with pytest.raises(CheckpointError, match=r"aten::to_mkldnn, which is not supported: save the"):
        built(tmp_path, data)


class TracedTraining(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(self.bn(x), 1).flatten(1)


def test_a_trace_of_training_is_refused(tmp_path: Path) -> None:
    made = TracedTraining().train()
    data = jit_bytes(
        quietly(lambda: torch.jit.trace(made, images(2, (3, 8, 8)), check_trace=False))
    )
    with pytest.raises(CheckpointError, match="in training mode"):
        built(tmp_path, data)
