from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from backaudit.core.errors import CalibrationError, CheckpointError, SettingError
from backaudit.core.suspect import Suspect, fixed_images
from backaudit.loading import assembly
from backaudit.loading.load import LoadOptions, load
from backaudit.loading.preparation.conventions import UNIT
from backaudit.loading.prepared import load_prepared, prepared_of
from tests.loading.preparation.test_choosing import Mixed, recognised
from tests.loading.preparation.test_filling_in import bars, small, trained
from tests.loading.recognition.test_graphs import tint_graph, written
from tests.loading.samples import TINT_NET, TintNet, tinted, trained_on, write_class_folders
from tests.programs.networks import scripted
from tests.toy import suspect_of, toy_network

IMAGES, LABELS = tinted(60)
SOFTMAX = (
    TINT_NET.replace("return self.fc(", "return self.end(self.fc(")
    .replace("3)))", "3))))")
    .replace("self.fc = ", "self.end = nn.Softmax(1)\n        self.fc = ")
)


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "clean", IMAGES, LABELS)


def saved(folder: Path, network: nn.Module) -> Path:
    torch.save(network.state_dict(), folder / "model.pt")
    return folder / "model.pt"


def again(first: Suspect, model: Path, options: LoadOptions | None = None) -> Suspect:
    """The same model without clean images; both must be one network in every respect."""
    second = load_prepared(model, prepared_of(first), options)
    images = torch.randint(0, 256, (9, *first.image_shape), dtype=torch.uint8)
    assert torch.equal(first.logits(images), second.logits(images))
    assert replace(first, network=second.network) == second
    assert not second.network.training
    return second


def definition(folder: Path, code: str) -> str:
    (folder / "definition.py").write_text(code)
    return f"{folder / 'definition.py'}:TintNet"


def test_a_state_dict_with_a_definition_and_a_softmax(tmp_path: Path, clean: Path) -> None:
    model = saved(tmp_path, trained_on(IMAGES, UNIT))
    options = LoadOptions(model_def=definition(tmp_path, SOFTMAX))
    suspect, _ = load(model, clean, options)
    assert suspect.making.undone == ("softmax",)
    assert again(suspect, model, options).class_names == ("blue", "green", "red")
    with pytest.raises(SettingError, match=r"give --model-def FILE\.py:NAME again"):
        load_prepared(model, prepared_of(suspect))


def test_a_definition_that_has_changed_since_is_refused(tmp_path: Path, clean: Path) -> None:
    model = saved(tmp_path, trained_on(IMAGES, UNIT))
    suspect, _ = load(model, clean, LoadOptions(model_def=definition(tmp_path, TINT_NET)))
    changed = definition(tmp_path, TINT_NET.replace("mean((2, 3))", "amax((2, 3))"))
    with pytest.raises(CheckpointError, match="does not become the network that was calibrated"):
        load_prepared(model, prepared_of(suspect), LoadOptions(model_def=changed))


def test_a_torchscript_program(tmp_path: Path, clean: Path) -> None:
    model = written(tmp_path / "tints.pt", scripted(trained_on(IMAGES, UNIT)))
    suspect, _ = load(model, clean)
    again(suspect, model)


def test_an_onnx_graph_that_ends_in_a_softmax(tmp_path: Path, clean: Path) -> None:
    model = tint_graph(tmp_path / "tints.onnx")
    suspect, _ = load(model, clean)
    assert suspect.making.undone == ("softmax",)
    again(suspect, model)


def test_a_chain_is_filled_in_as_clean_images_said(tmp_path: Path) -> None:
    network = trained(small(nn.ReLU(), nn.MaxPool2d(2)))
    state = {
        f"net.{name}".replace("net.", "conv").replace("conv7", "fc7"): tensor
        for name, tensor in network.state_dict().items()
    }
    torch.save(state, tmp_path / "model.pt")
    images, labels = bars()
    np.savez(tmp_path / "clean.npz", x=images.numpy(), y=labels.numpy())
    model = tmp_path / "model.pt"
    suspect, _ = load(model, tmp_path / "clean.npz", LoadOptions(mean=(0.0,), std=(1.0,)))
    assert suspect.making.filling is not None
    again(suspect, model)
    making = replace(suspect.making, filling={**suspect.making.filling, "reduction": "average"})
    other = replace(prepared_of(suspect), making=making)
    with pytest.raises(CheckpointError, match="does not become the network"):
        load_prepared(model, other)
    making = replace(making, filling={**suspect.making.filling, "activation": "Module"})
    with pytest.raises(CheckpointError, match="is not that of this model"):
        load_prepared(model, replace(other, making=making))


def test_the_rival_that_clean_images_chose_is_taken(
    tmp_path: Path, clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = trained_on(IMAGES, UNIT)
    model = saved(tmp_path, network)

    def fits(*_: object, **__: object) -> object:
        right = recognised(trained_copy(network), "right")
        return recognised(Mixed(trained_copy(network), 0.5), "first", right)

    monkeypatch.setattr(assembly, "recognise", fits)
    suspect, _ = load(model, clean)
    assert suspect.architecture == "right"
    again(suspect, model)


def trained_copy(network: TintNet) -> TintNet:
    copied = TintNet()
    copied.load_state_dict(network.state_dict())
    return copied


def test_another_file_is_refused(tmp_path: Path, clean: Path) -> None:
    model = tint_graph(tmp_path / "tints.onnx")
    prepared = prepared_of(load(model, clean)[0])
    other = tmp_path / "other.onnx"
    other.write_bytes(model.read_bytes().replace(b"tints", b"tonts"))
    with pytest.raises(CalibrationError, match="belongs to another model"):
        load_prepared(other, prepared)
    wrong = replace(prepared, answers=tuple(row[::-1] for row in prepared.answers))
    with pytest.raises(CheckpointError, match="does not become the network"):
        load_prepared(model, wrong)


@pytest.mark.parametrize(
    "options",
    [
        LoadOptions(arch="resnet18"),
        LoadOptions(size=(8, 8)),
        LoadOptions(mean=(0.5,)),
        LoadOptions(std=(0.5,)),
        LoadOptions(classes=Path("names.txt")),
        LoadOptions(model_def="a.py:b"),
    ],
)
def test_what_was_decided_is_no_option(options: LoadOptions) -> None:
    prepared = prepared_of(suspect_of(toy_network()))
    with pytest.raises(SettingError, match=r"leave (it|--model-def) out"):
        load_prepared(Path("unread.pt"), prepared, options)


def test_fixed_images_are_the_same_ever_after() -> None:
    images = fixed_images((3, 2, 2))
    assert images.flatten()[:8].tolist() == [0, 1, 6, 13, 24, 37, 54, 74]
    assert float(fixed_images((3, 32, 32)).float().std()) > 60
