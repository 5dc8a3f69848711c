"""ONNX: weights within the graph's file or beside it, folded or not."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from backaudit.core.errors import CheckpointError, OutputError
from backaudit.loading.load import load
from backaudit.loading.rewriting.rewrite import require_rewritable, rewrite
from tests.loading.rewriting.repairing import (
    IMAGES,
    TOLD,
    changed,
    clean_images,
    repair,
    same_to_a_scanner,
    tint_net,
)
from tests.programs.networks import quietly


def exported(path: Path, network: nn.Module | None = None, **named: Any) -> Path:
    """What torch's older exporter writes."""
    names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}}
    options: dict[str, Any] = {"dynamo": False, **names, **named}
    example = (IMAGES[:1].float(),)
    quietly(lambda: torch.onnx.export(network or tint_net(), example, path, **options))
    return path


def outside(model: onnx.ModelProto, path: Path) -> Path:
    """The same with its weights in a file beside it."""
    onnx.save(model, path, save_as_external_data=True, size_threshold=0, location="weights.bin")
    return path


PRESERVED: dict[str, Any] = {
    "training": torch.onnx.TrainingMode.PRESERVE,
    "do_constant_folding": False,
}


@pytest.mark.parametrize("named", [{}, PRESERVED], ids=["folded", "preserved"])
def test_weights_in_the_file(tmp_path: Path, named: dict[str, Any]) -> None:
    done = repair(exported(tmp_path / "a.onnx", **named), tmp_path / "b.onnx")
    assert same_to_a_scanner(done)
    before, after = onnx.load(tmp_path / "a.onnx"), onnx.load(tmp_path / "b.onnx")
    onnx.checker.check_model(after)
    assert {entry.key: entry.value for entry in after.metadata_props} == TOLD
    size = (tmp_path / "a.onnx").stat().st_size
    assert (tmp_path / "b.onnx").read_bytes()[size:].count(b"backaudit") == 2
    for model in (before, after):
        model.ClearField("metadata_props")
        for proto in model.graph.initializer:
            proto.raw_data = b""
    assert before == after


def test_statistics_of_a_preserved_graph_are_written(tmp_path: Path) -> None:
    done = repair(exported(tmp_path / "a.onnx", **PRESERVED), tmp_path / "b.onnx")
    held = {
        p.name: numpy_helper.to_array(p) for p in onnx.load(tmp_path / "b.onnx").graph.initializer
    }
    layer: Any = next(m for m in done.network.modules() if isinstance(m, nn.BatchNorm2d))
    assert np.array_equal(held["bn.running_var"], layer.running_var.numpy())
    assert np.array_equal(held["bn.weight"], layer.weight.detach().numpy())


def test_weights_beside_the_file(tmp_path: Path) -> None:
    model = outside(onnx.load(exported(tmp_path / "c.onnx")), tmp_path / "a.onnx")
    (tmp_path / "new").mkdir()
    suspect, _ = load(model, clean_images(tmp_path))
    with pytest.raises(OutputError, match=r"names weights beside it \(weights.bin\)"):
        require_rewritable(suspect, tmp_path / "b.onnx")
    with pytest.raises(OutputError, match="is what the original calls its weights"):
        require_rewritable(suspect, tmp_path / "new" / "weights.bin")
    done = repair(model, tmp_path / "new" / "b.onnx")
    assert same_to_a_scanner(done)
    onnx.checker.check_model(str(done.written.path))
    with pytest.raises(OutputError, match="exists"):
        require_rewritable(suspect, tmp_path / "new" / "c.onnx")


def graph(path: Path, weights: list[TensorProto]) -> Path:
    """A classifier of tints by a product, whose weight is stored the other way round."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    made = helper.make_graph(
        nodes,
        "tints",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        weights,
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(made, opset_imports=[opset], ir_version=8), path)
    return path


TURNED = 8 * np.eye(3, dtype=np.float32)[::-1].copy() + np.float32(np.arange(9).reshape(3, 3) / 9)


@pytest.mark.parametrize(("dtype", "precision"), [(np.float32, 1e-5), (np.float16, 5e-3)])
def test_a_weight_that_is_stored_turned(tmp_path: Path, dtype: Any, precision: float) -> None:
    weight = numpy_helper.from_array(TURNED.astype(dtype), "w")
    done = repair(graph(tmp_path / "a.onnx", [weight]), tmp_path / "b.onnx")
    assert same_to_a_scanner(done, precision)
    (stored,) = onnx.load(tmp_path / "b.onnx").graph.initializer
    (held,) = done.network.parameters()
    assert np.array_equal(numpy_helper.to_array(stored).T, held.detach().numpy().astype(dtype))


def test_numbers_packed_in_a_field(tmp_path: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, (3, 3), TURNED.flatten().tolist())
    assert len(weight.float_data) == 9
    done = repair(graph(tmp_path / "a.onnx", [weight]), tmp_path / "b.onnx")
    assert same_to_a_scanner(done)


class Twins(nn.Module):
    """Two norms side by side, as in a residual block; what they have in common is stored once."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = (nn.BatchNorm2d(3) for _ in range(2))
        self.fc = nn.Linear(3, 3)
        with torch.no_grad():
            self.one.weight.copy_(torch.tensor([1.1, 1.2, 1.3]))
            self.other.weight.copy_(torch.tensor([0.9, 0.8, 0.7]))
            self.fc.weight.copy_(8 * torch.eye(3).flip(0) + torch.arange(9).view(3, 3) / 9)
            for norm in (self.one, self.other):
                norm.bias.fill_(0.05)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc((self.one(images) + self.other(images)).mean((2, 3)))
        return logits


def test_equal_vectors_of_which_one_is_made_of_the_other_get_places_of_their_own(
    tmp_path: Path,
) -> None:
    exported(tmp_path / "a.onnx", Twins().eval(), **PRESERVED)
    before = onnx.load(tmp_path / "a.onnx").graph
    made = {node.output[0] for node in before.node if node.op_type == "Identity"}
    assert made == {"other.bias", "other.running_mean", "other.running_var"}
    done = repair(tmp_path / "a.onnx", tmp_path / "b.onnx")
    assert same_to_a_scanner(done)
    assert set(done.written.untied) == made
    onnx.checker.check_model(str(tmp_path / "b.onnx"))
    after = onnx.load(tmp_path / "b.onnx").graph
    held = {proto.name: numpy_helper.to_array(proto) for proto in after.initializer}
    assert list(held) == [*(proto.name for proto in before.initializer), *done.written.untied]
    assert [*after.node] == [node for node in before.node if node.output[0] not in made]
    assert not np.array_equal(held["one.bias"], held["other.bias"])
    # What was written can be written again.
    again = repair(tmp_path / "b.onnx", tmp_path / "c.onnx")
    assert again.written.untied == ()


def test_equal_vectors_stored_once_are_refused_when_they_differ_now(tmp_path: Path) -> None:
    model = onnx.load(exported(tmp_path / "c.onnx", **PRESERVED))
    held = {proto.name: proto for proto in model.graph.initializer}
    held["bn.weight"].raw_data = np.full(3, 1.5, np.float32).tobytes()
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            node.input[4] = "bn.weight"
    onnx.save(model, tmp_path / "a.onnx")
    suspect, _ = load(tmp_path / "a.onnx", clean_images(tmp_path))
    with pytest.raises(CheckpointError, match=r"running_var.*stored equal ones once.*state dict"):
        require_rewritable(suspect, tmp_path / "b.onnx")
    network = changed(suspect.network)
    layer: Any = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    was: Any = next(m for m in suspect.network.modules() if isinstance(m, nn.BatchNorm2d))
    layer.running_var = was.running_var.clone()
    with pytest.raises(CheckpointError, match="once for several parts of the network"):
        rewrite(suspect, network, tmp_path / "b.onnx", provenance=TOLD)
    assert not [*tmp_path.glob("b.onnx"), *tmp_path.glob(".*")]
    with torch.no_grad():
        layer.weight.copy_(was.weight)
    rewrite(suspect, network, tmp_path / "b.onnx", provenance=TOLD)
