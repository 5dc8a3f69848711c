import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.loading.load import load
from backaudit.loading.recognition.recognise import recognise
from backaudit.loading.weights.checkpoint import read_checkpoint
from tests.loading.samples import tinted, write_class_folders
from tests.programs.networks import scripted

IMAGES, LABELS = tinted(60)


def tint_graph(file: Path) -> Path:
    """A graph that tells blue, green and red images apart by their mean colour, with softmax."""
    weights = {
        "scale": 8 * np.eye(3, dtype=np.float32)[::-1].reshape(3, 3, 1, 1).copy(),
    }
    nodes = [
        helper.make_node("Conv", ["images", "scale"], ["scaled"]),
        helper.make_node("GlobalAveragePool", ["scaled"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tints",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), file)
    return file


def test_graph_is_the_network_is_verified_and_ends_in_logits(tmp_path: Path) -> None:
    clean = write_class_folders(tmp_path / "clean", IMAGES, LABELS)
    suspect, images = load(tint_graph(tmp_path / "tints.onnx"), clean)
    assert suspect.architecture == "ONNX graph"
    assert suspect.image_shape == (3, 8, 8)
    assert images.accuracy == 1
    said = " ".join(suspect.assumptions)
    assert "reference evaluator of ONNX" in said
    assert "softmax, which was left out" in said
    assert not torch.allclose(suspect.logits(images.images).sum(1), torch.ones(60))


def large_graph(file: Path, side: int) -> Path:
    """A graph that makes several channels of large images."""
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["many"]),
        helper.make_node("GlobalAveragePool", ["many"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, side, side])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(np.ones((4, 3, 1, 1), np.float32), "w")],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), file)
    return file


class Endless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        n = 0
        while n >= 0:
            n = n * 1
        return x.mean([2, 3])


def written(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file


linux = pytest.mark.skipif(sys.platform != "linux", reason="bounds need Linux")


@linux
def test_a_graph_for_huge_images_cannot_fill_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backaudit.loading.recognition.graphs.WORKING_MEMORY", 2**26)
    checkpoint = read_checkpoint(large_graph(tmp_path / "large.onnx", 2048))
    with pytest.raises(
        CheckpointError, match=r"more than 0\.0625 GiB of memory to make a network of its graph"
    ):
        recognise(checkpoint)
    small = read_checkpoint(large_graph(tmp_path / "small.onnx", 32))
    assert recognise(small).num_classes == 4


def test_a_program_without_end_cannot_keep_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backaudit.loading.recognition.graphs.SECONDS", 1.0)
    monkeypatch.setattr("backaudit.programs.scripts.evaluate.MOST_STEPS", 10**9)
    made = nn.Sequential(nn.Conv2d(3, 3, 1), Endless())
    checkpoint = read_checkpoint(written(tmp_path / "endless.pt", scripted(made)))
    with pytest.raises(CheckpointError, match="takes more than 1 s to make a network of its graph"):
        recognise(checkpoint)


def test_a_stated_size_is_what_an_open_graph_is_made_for(tmp_path: Path) -> None:
    made = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2 * 11 * 13, 4))
    checkpoint = read_checkpoint(written(tmp_path / "odd.pt", scripted(made)))
    with pytest.raises(CheckpointError):
        recognise(checkpoint)
    found = recognise(checkpoint, size=(11, 13))
    assert found.metadata["input_size"] == [11, 13]
    images = torch.rand(3, 3, 11, 13)
    assert torch.equal(found.network(images), made(images))


def test_normalisation_that_was_folded_away_is_said(tmp_path: Path) -> None:
    found = recognise(read_checkpoint(tint_graph(tmp_path / "tints.onnx")))
    assert any("usually fold batch norm" in text for text in found.assumptions)


def test_no_architecture_takes_the_place_of_a_graph(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(tint_graph(tmp_path / "tints.onnx"))
    with pytest.raises(CheckpointError, match="its own ONNX graph"):
        recognise(checkpoint, arch="resnet18")
