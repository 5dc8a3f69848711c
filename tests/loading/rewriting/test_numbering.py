from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.loading.rewriting import numbering
from backaudit.loading.rewriting.numbering import NOWHERE, Memory, Numbering
from backaudit.loading.weights.checkpoint import Checkpoint
from tests.loading.records import record_of

STATE = {
    "a": torch.rand(2, 3),
    "count": torch.tensor(12),
    "empty": torch.rand(0, 4),
    "b": torch.rand(4),
    "mask": torch.tensor([True, False]),
}


def numbered(state: dict[str, Tensor]) -> Numbering:
    records = {name: record_of(tensor) for name, tensor in state.items()}
    source = SimpleNamespace(sha256="00")
    path = Path("a.pt")
    return Numbering.of(Checkpoint(path, source, "torch-zip", state, (), "", {}, records=records))


def test_every_element_has_a_number_of_its_own() -> None:
    made = numbered(STATE)
    assert made.starts == (1, 7, 8, 8, 12)
    assert made.numbers(0).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert [made.place(number) for number in (1, 6, 7, 8, 11, 12)] == [0, 0, 1, 3, 3, 4]


def test_numbers_survive_whatever_moves_or_copies_them() -> None:
    made = numbered(STATE)
    state = made.marked(STATE)
    joined = torch.cat([state["a"].t().flatten(), state["b"].flip(0)])
    assert made.read(joined).tolist() == [1, 4, 2, 5, 3, 6, 11, 10, 9, 8]
    assert int(made.read(state["count"].clone())) == 7
    assert state["mask"] is STATE["mask"]


def test_what_is_not_a_number_of_the_file_lies_nowhere() -> None:
    made = numbered(STATE)
    others = torch.tensor([0.0, -0.0, 1.0, -1.0, 1e-6, 1e-38, float("nan"), float("inf")])
    assert made.read(others).eq(NOWHERE).all()
    assert int(made.read(torch.tensor(12))) == NOWHERE
    assert made.read(torch.tensor([True, False])).eq(NOWHERE).all()


def test_tied_tensors_share_their_numbers() -> None:
    records = {"x": record_of(STATE["a"])}
    records["y"] = records["x"]
    source = SimpleNamespace(sha256="00")
    state = {"x": STATE["a"], "y": STATE["a"]}
    made = Numbering.of(
        Checkpoint(Path("a"), source, "torch-zip", state, (), "", {}, records=records)
    )
    marked = made.marked(state)
    assert torch.equal(made.read(marked["x"]), made.read(marked["y"]))


def test_files_that_are_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "MOST_ELEMENTS", 10)
    with pytest.raises(CheckpointError, match="more than 10 cannot be rewritten"):
        numbered(STATE)


def test_views_are_known_by_their_memory_and_copies_are_not() -> None:
    made = numbered(STATE)
    memory = Memory(made, STATE)
    assert memory.read(STATE["a"].t()).tolist() == [[1, 4], [2, 5], [3, 6]]
    assert memory.read(STATE["b"][1:3]).tolist() == [9, 10]
    assert int(memory.read(STATE["count"])) == 7
    assert memory.read(STATE["a"].clone()).eq(NOWHERE).all()
    assert memory.read(STATE["a"].view(torch.int32)).eq(NOWHERE).all()
    assert memory.read(torch.zeros(0)).shape == (0,)
