"""The command on files of every kind, read again by the library that each is for.

Networks, methods and detectors are tiny or fake; loading and writing are not.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import safetensors
import safetensors.torch
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn
from typer.testing import CliRunner

from backaudit.cli.app import app
from backaudit.cli.purify import methods
from backaudit.loading.preparation.conventions import UNIT
from backaudit.purification import terms
from tests.audits import Reads
from tests.loading.samples import TINT_NET, TintNet, tinted, trained_on, write_class_folders
from tests.programs.networks import quietly
from tests.purifications import FAKES

IMAGES, LABELS = tinted(48)
INPUTS = IMAGES.float() / 255
State = dict[str, Tensor]


def tint_net() -> TintNet:
    return trained_on(IMAGES, UNIT)


def of_state(state: State) -> Tensor:
    network = TintNet()
    network.load_state_dict({name.removeprefix("module."): t.float() for name, t in state.items()})
    with torch.no_grad():
        logits: Tensor = network.eval()(INPUTS)
    return logits


def state_dict(path: Path) -> None:
    halved = {name: tensor.half() for name, tensor in tint_net().state_dict().items()}
    torch.save({"epoch": 3, "state_dict": halved, "best": [0.5]}, path)


def parallel(path: Path) -> None:
    state = nn.DataParallel(tint_net()).state_dict()
    torch.save(state, path, _use_new_zipfile_serialization=False)


def answers_of_torch(path: Path) -> tuple[Any, Tensor]:
    saved = torch.load(path, weights_only=True)  # noqa: TID251
    state = saved.get("state_dict", saved)
    layout = {name: (tensor.dtype, tensor.shape, tensor.stride()) for name, tensor in state.items()}
    rest = {name: value for name, value in saved.items() if name not in ("state_dict", *state)}
    return (list(saved), type(state), list(layout.items()), rest), of_state(state)


def whole(path: Path) -> None:
    torch.save(tint_net(), path)


def answers_of_module(path: Path) -> tuple[Any, Tensor]:
    network = torch.load(path, weights_only=False)  # noqa: TID251
    return str(network), of_state(network.state_dict())


def tensors(path: Path) -> None:
    safetensors.torch.save_file(tint_net().state_dict(), path, metadata={"format": "pt"})


def answers_of_safetensors(path: Path) -> tuple[Any, Tensor]:
    with safetensors.safe_open(path, "pt") as file:
        state = {name: file.get_tensor(name) for name in file.offset_keys()}
        return (list(state), file.metadata()["format"]), of_state(state)


def script(path: Path) -> None:
    torch.jit.save(torch.jit.trace(tint_net(), INPUTS[:2]), str(path))


def answers_of_script(path: Path) -> tuple[Any, Tensor]:
    network = torch.jit.load(str(path))
    with torch.no_grad():
        return (network.code, list(network.state_dict())), network(INPUTS)


def program(path: Path) -> None:
    free = torch.export.Dim("batch", min=1, max=64)
    torch.export.save(
        torch.export.export(tint_net(), (INPUTS[:2],), dynamic_shapes=({0: free},)), path
    )


def answers_of_program(path: Path) -> tuple[Any, Tensor]:
    read = torch.export.load(path)
    with torch.no_grad():
        return (str(read.graph), list(read.state_dict)), read.module()(INPUTS)


def graph(path: Path) -> None:
    names: dict[str, Any] = {"input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}}
    kept = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    torch.onnx.export(tint_net(), (INPUTS[:1],), path, dynamo=False, **names, **kept)


def answers_of_graph(path: Path) -> tuple[Any, Tensor]:
    model = onnx.load(path)
    onnx.checker.check_model(model)
    (logits,) = ReferenceEvaluator(model).run(None, {"x": INPUTS.numpy()})
    return (list(model.graph.node), [t.name for t in model.graph.initializer]), torch.tensor(logits)


Answers = Callable[[Path], tuple[Any, Tensor]]
FORMATS: dict[str, tuple[Callable[[Path], None], Answers]] = {
    "half.pth": (state_dict, answers_of_torch),
    "legacy.pt": (parallel, answers_of_torch),
    "module.pt": (whole, answers_of_module),
    "tensors.safetensors": (tensors, answers_of_safetensors),
    "script.pt": (script, answers_of_script),
    "program.pt2": (program, answers_of_program),
    "graph.onnx": (graph, answers_of_graph),
}
GRAPHS = ("script.pt", "program.pt2", "graph.onnx")
STATED = ("--size", "8", "--mean", "0,0,0", "--std", "1,1,1")


@pytest.mark.parametrize("name", FORMATS)
def test_the_output_stands_in_for_the_original(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terms, "DETECTORS", {"reads": Reads})
    monkeypatch.setattr(methods, "PURIFIERS", FAKES)
    save, answers = FORMATS[name]
    model, output = tmp_path / name, tmp_path / f"repaired-{name}"
    quietly(lambda: save(model))
    digest = hashlib.sha256(model.read_bytes()).digest()
    clean = write_class_folders(tmp_path / "clean", IMAGES, LABELS)
    (tmp_path / "net.py").write_text(TINT_NET)
    definition = [] if name in GRAPHS else ["--model-def", f"{tmp_path / 'net.py'}:TintNet"]
    read = [str(clean), *STATED, "--quiet", *definition]
    method = ["--method", "repairs", "--set", "repairs.factor=0.7"]
    command = ["purify", str(model), "--output", str(output), *method, "--clean", *read]
    result = CliRunner().invoke(app, command)
    assert (result.exit_code, result.stderr) == (0, "")
    assert hashlib.sha256(model.read_bytes()).digest() == digest

    layout, before = quietly(lambda: answers(model))
    same, after = quietly(lambda: answers(output))
    assert same == layout
    assert not torch.allclose(after, before, rtol=0.1)
    record = json.loads((tmp_path / f"repaired-{name}.purify.json").read_text())
    assert record["output"]["sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert record["output"]["notes"] == []
    for found, logits in ((record["before"], before), (record["after"], after)):
        assert found["clean_accuracy"] == float((logits.argmax(1) == LABELS).float().mean()) == 1
