from dataclasses import replace
from pathlib import Path

import pytest
import torch

from backaudit.core.errors import CheckpointError
from backaudit.files.contents import Survey
from backaudit.files.survey import survey
from backaudit.loading.inspection import network
from backaudit.loading.inspection.inspection import inspect
from backaudit.loading.inspection.outlook import Certainty
from backaudit.nets.architectures import ARCHITECTURES


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A recognisable network, wrapped, with what training leaves beside it."""
    network = ARCHITECTURES["resnet20"](num_classes=7)
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    saved = {
        "state_dict": state,
        "optimizer": {"state": {0: {"momentum": torch.zeros(3)}}},
        "classes": [f"kind-{index}" for index in range(7)],
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.2, 0.2],
        "img_size": 40,
    }
    path = tmp_path / "model.pt"
    torch.save(saved, path)
    return path


def test_a_network_is_told_from_names_and_shapes(file: Path) -> None:
    found = inspect(file)
    told = found.outlook
    assert told is not None
    assert told.architecture.certainty is Certainty.EXACT
    assert told.architecture.name.startswith("resnet20")
    assert found.normalisation == {"batch norm": 19}
    assert (told.wrapper, told.prefix) == (("state_dict",), "module.")
    assert told.num_classes == 7
    assert told.class_names[6] == "kind-6"
    assert (told.image_size, told.usual_size) == ((40, 40), 32)
    assert (told.mean, told.std) == ((0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    assert found.tensors.count == told.weights + 1
    assert {note for note in told.notes if note in found.survey.contents.notes} == set()


def test_a_network_that_is_not_known_has_a_nearest(tmp_path: Path) -> None:
    state = ARCHITECTURES["resnet20"](num_classes=7).state_dict()
    state["layer9.weight"] = torch.zeros(2, 2)
    torch.save(state, tmp_path / "model.pt")
    told = inspect(tmp_path / "model.pt").outlook
    assert told is not None
    assert told.architecture.certainty is Certainty.NEAREST
    assert told.architecture.name.startswith("resnet20")
    assert "tensors agree; not in the network: layer9.weight" in told.architecture.differs


def test_a_file_without_weights_is_still_told_about(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "model.pt")
    found = inspect(tmp_path / "model.pt")
    assert found.tensors.count == 0
    assert found.outlook is not None
    assert "holds no named weight tensors" in found.outlook.notes[0]


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        inspect(tmp_path / "model.pt")


def test_a_crash_of_the_recognition_hides_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_found: Survey) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(network, "outlook", crash)
    found = inspect(file)
    assert found.survey.contents.uses
    assert found.outlook is not None
    assert found.outlook.notes == ("The network was not looked at: ZeroDivisionError: boom",)
    assert found.normalisation == {"batch norm": 19}


def test_a_graph_needs_no_skeleton(file: Path) -> None:
    found = survey(file)
    graph = replace(found, contents=replace(found.contents, program=object()))
    with pytest.raises(CheckpointError, match="its own graph"):
        network.skeleton_of(graph)
