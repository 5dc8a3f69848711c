from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.loading.recognition.recognise import Recognised, recognise
from backaudit.loading.weights.checkpoint import Checkpoint

SOURCE_FILE = SimpleNamespace(sha256="00")
SOURCE = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, num_classes=10, width=4):
            super().__init__()
            self.conv = nn.Conv2d(1, width, 5)
            self.fc = nn.Linear(width * 24 * 24, num_classes)

        def forward(self, images):
            return self.fc(self.conv(images).relu().flatten(1))

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Net(3)

        def forward(self, images):
            return self.model(images)

    class Several(Net):
        def forward(self, images):
            return super().forward(images), images

    class Never(Net):
        def forward(self, images):
            raise KeyError("needs a mask")

    def build():
        return Net(3)

    def required(classes):
        return Net(classes)

    def fails():
        raise OSError("no such weights")

    def demanding(path):
        return Net(3)

    def nothing():
        return None

    ready = Net(3)
    number = 3
"""


def state(classes: int = 3) -> dict[str, Tensor]:
    return {
        "conv.weight": torch.full((4, 1, 5, 5), 0.1),
        "conv.bias": torch.ones(4),
        "fc.weight": torch.full((classes, 4 * 24 * 24), 0.2),
        "fc.bias": torch.ones(classes),
    }


def recognised(tmp_path: Path, name: str, prefix: str = "", **metadata: object) -> Recognised:
    file = tmp_path / "nets.py"
    file.write_text(dedent(SOURCE))
    checkpoint = Checkpoint(
        Path("suspect.pt"), SOURCE_FILE, "torch-zip", state(), (), prefix, dict(metadata)
    )
    return recognise(checkpoint, model_def=f"{file}:{name}")


@pytest.mark.parametrize("name", ["Net", "build", "required", "ready"])
def test_class_function_and_network(tmp_path: Path, name: str) -> None:
    found = recognised(tmp_path, name)
    assert torch.equal(found.network.get_parameter("fc.weight"), state()["fc.weight"])
    assert (found.num_classes, found.in_channels, found.input_size) == (3, 1, 28)
    assert not found.network.training
    assert all(parameter.requires_grad for parameter in found.network.parameters())
    assert found.architecture.endswith(f"nets.py:{name}")


def test_executing_the_file_is_said(tmp_path: Path) -> None:
    assert any(
        "was executed" in assumption for assumption in recognised(tmp_path, "Net").assumptions
    )


def test_number_of_classes_that_the_checkpoint_states_comes_first(tmp_path: Path) -> None:
    assert recognised(tmp_path, "required", num_classes=3).num_classes == 3
    with pytest.raises(CheckpointError, match=r"fc.weight \(network 5x2304, file 3x2304\)"):
        recognised(tmp_path, "required", num_classes=5)


def test_prefix_that_the_network_has_is_put_back(tmp_path: Path) -> None:
    found = recognised(tmp_path, "Wrapped", prefix="module.model.")
    assert isinstance(found.network.get_submodule("model"), nn.Module)
    assert found.num_classes == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net", "defines no 'net'. Did you mean 'Net'?"),
        ("number", "neither a class nor a function"),
        ("fails", "failed when called .OSError: no such weights"),
        ("demanding", "failed when called .TypeError.*path"),
        ("nothing", "returned NoneType, not a torch module"),
        ("Several", "returns a tuple for two images; it must return logits"),
    ],
)
def test_mistakes_in_the_definition(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        recognised(tmp_path, name)


def test_network_that_fits_no_usual_size_has_none(tmp_path: Path) -> None:
    found = recognised(tmp_path, "Never")
    assert found.input_size is None
    assert found.num_classes == 3


@pytest.mark.parametrize(
    ("content", "spec", "message"),
    [
        ("", "{file}", "names no definition"),
        ("", "{file}x:Net", "does not exist"),
        ("import nowhere_to_be_found", "{file}:Net", "failed when executed .ModuleNotFoundError"),
        ("raise SystemExit(3)", "{file}:Net", "failed when executed .SystemExit"),
        ("class", "{file}:Net", "failed when executed .SyntaxError"),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, content: str, spec: str, message: str) -> None:
    file = tmp_path / "nets.py"
    file.write_text(content)
    checkpoint = Checkpoint(Path("suspect.pt"), SOURCE_FILE, "torch-zip", state(), (), "", {})
    with pytest.raises(CheckpointError, match=message):
        recognise(checkpoint, model_def=spec.format(file=file))
