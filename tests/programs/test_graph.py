import copy
import operator
from pathlib import Path

import pytest
import torch
from torch import nn

from backaudit.core.errors import CheckpointError
from backaudit.files.graphs import export_check
from backaudit.files.graphs.operator_names import AS_TOLD, HARMLESS
from backaudit.programs import layers
from backaudit.programs.export import ARITHMETIC
from backaudit.programs.graph import Recorder, examples, shape
from backaudit.programs.operators import PLAIN, RENAMED, SPECIAL, apply
from backaudit.programs.paths import place, safe_path
from backaudit.programs.per_image import SingleRecorder
from backaudit.programs.shapes import FixedBatchError
from tests.programs.networks import NETWORKS, built, exported, images, network

aten = torch.ops.aten


def started() -> tuple[Recorder, torch.fx.Node]:
    recorder = Recorder()
    return recorder, recorder.image(3, (8, 8), torch.float32)


def test_only_what_depends_on_the_batch_is_recorded() -> None:
    recorder, x = started()
    rows, columns = (apply(recorder, "size", [x, dim], {}) for dim in (0, 2))
    assert columns == 8
    assert examples(rows) == (2, 3)
    assert recorder.call(operator.mul, columns, 2) == 16
    assert examples(recorder.call(operator.mul, rows, 2)) == (4, 6)


def test_a_written_batch_size_is_freed() -> None:
    recorder, x = started()
    flat = apply(recorder, "view", [x, [5, 192]], {})
    weight = recorder.tensor("fc.weight", torch.ones(2, 192))
    made = recorder.finish(layers.linear(recorder, flat, weight))
    assert made(torch.ones(7, 3, 8, 8)).shape == (7, 2)


def test_what_cannot_be_freed_is_refused_by_one_recorder_and_not_by_the_other() -> None:
    recorder, x = started()
    turned = recorder.call(aten.permute, x, [1, 0, 2, 3])
    with pytest.raises(FixedBatchError, match="export it again"):
        apply(recorder, "view", [turned, [3, 8, 8]], {})
    single = SingleRecorder()
    y = single.image(3, (8, 8), torch.float32)
    turned = single.call(aten.permute, y, [1, 0, 2, 3])
    part = apply(single, "view", [turned, [3, 8, 8]], {})
    row = apply(single, "view", [part, [1, 192]], {})
    batch = images(4, (3, 8, 8))
    assert torch.equal(single.finish(row)(batch), batch.flatten(1))


def test_a_change_in_place_is_followed() -> None:
    recorder, x = started()
    y = apply(recorder, "mul", [x, 2.0], {})
    apply(recorder, "add_", [y, 1.0], {})
    made = recorder.finish(apply(recorder, "mean", [y, [2, 3]], {}))
    assert torch.equal(made(torch.ones(2, 3, 8, 8)), torch.full((2, 3), 3.0))


def test_reading_what_was_changed_through_another_view_is_refused() -> None:
    recorder, x = started()
    y = apply(recorder, "mul", [x, 2.0], {})
    apply(recorder, "add_", [apply(recorder, "select", [y, 1, 0], {}), 1.0], {})
    with pytest.raises(CheckpointError, match="in place"):
        apply(recorder, "mean", [y, [2, 3]], {})


@pytest.mark.parametrize(
    "name",
    ['a"]; import os; #', "forward", "a.__class__.b", "x\ny", "for", "_parameters.w", "", "é"],
)
def test_names_from_files_cannot_do_harm(name: str) -> None:
    path = safe_path(name)
    assert path.isascii()
    assert all(step.replace("_", "a").isalnum() for step in path.split("."))
    recorder, x = started()
    scaled = apply(recorder, "mul", [x, recorder.tensor(name, torch.ones(1))], {})
    made = recorder.finish(apply(recorder, "mean", [scaled, [2, 3]], {}))
    assert made(torch.ones(2, 3, 8, 8)).shape == (2, 3)
    assert "import os" not in made.code


def test_two_things_in_one_place_are_refused() -> None:
    root = nn.Module()
    place(root, "a.b", nn.ReLU())
    with pytest.raises(CheckpointError, match=r"two things at a\.b"):
        place(root, "a.b", nn.ReLU())
    place(root, "a.c", nn.Parameter(torch.ones(1)))
    with pytest.raises(CheckpointError, match="a tensor and a layer"):
        place(root, "a.c.d", nn.ReLU())


def test_a_giant_tensor_is_refused() -> None:
    recorder, x = started()
    with pytest.raises(CheckpointError, match="larger than any network needs"):
        apply(recorder, "repeat", [x, [1, 1, 100_000, 10_000]], {})


def test_a_layer_used_twice_shares_its_weights() -> None:
    recorder, x = started()
    weight = recorder.tensor("c.weight", torch.ones(3, 3, 1, 1))
    for _ in range(2):
        x = layers.convolution(recorder, x, weight, None)
    assert shape(x) == (2, 3, 8, 8)
    made = recorder.finish(apply(recorder, "mean", [x, [2, 3]], {}))
    assert len(list(made.parameters())) == 1


def test_every_listed_operator_exists() -> None:
    assert all(hasattr(aten, name) for name in PLAIN)
    assert all(name in PLAIN or name in SPECIAL for name in RENAMED.values())
    assert not PLAIN & SPECIAL.keys()
    assert ARITHMETIC.keys() == export_check.ARITHMETIC
    assert {*PLAIN, *RENAMED, *SPECIAL} <= HARMLESS | AS_TOLD | {"detach_"}


def test_a_rebuilt_network_can_be_copied(tmp_path: Path) -> None:
    kind, sizes = NETWORKS["attention"]
    found = built(tmp_path, exported(network(kind), images(1, sizes))).network
    batch = images(2, sizes)
    assert torch.equal(copy.deepcopy(found)(batch), found(batch))
