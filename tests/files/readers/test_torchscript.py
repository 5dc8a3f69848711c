import io
import zipfile
from enum import Enum
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backaudit.files.graphs.operator_names import FILES, HARMLESS
from tests.files.samples import Canary, messages, pickled, rules, surveyed
from tests.programs.networks import edited, jit_bytes, quietly, scripted


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.tied = self.fc
        self.names = {"a": torch.ones(2)}

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.fc(x) + self.names["a"])


@pytest.fixture(scope="module")
def tiny() -> bytes:
    return scripted(Tiny())


def with_code(data: bytes, old: str, new: str) -> bytes:
    """An archive in whose source text some words are others."""

    def change(name: str, content: bytes) -> bytes:
        return content.replace(old.encode(), new.encode()) if name.endswith(".py") else content

    return edited(data, change)


def test_tensors_and_program(tmp_path: Path, tiny: bytes) -> None:
    found = surveyed(tmp_path, tiny)
    assert found.format == "torchscript"
    assert found.contents.problem == ""
    assert found.contents.findings == ()
    saved = found.contents.saved
    assert isinstance(saved, dict)
    state = quietly(lambda: torch.jit.load(io.BytesIO(tiny))).state_dict()
    assert list(saved) == [*state, "names.a"]
    assert saved["fc.weight"].shape == (2, 2)


def test_classes_of_the_program_are_harmless(tmp_path: Path, tiny: bytes) -> None:
    assert {use.level.value for use in surveyed(tmp_path, tiny).contents.uses} == {"harmless"}


@pytest.mark.parametrize("name", ["save", "load", "from_file"])
def test_an_operator_on_files_is_unsafe(tmp_path: Path, tiny: bytes, name: str) -> None:
    found = surveyed(tmp_path, with_code(tiny, "torch.relu(", f"torch.{name}("))
    assert rules(found) == {"BA001"}
    assert [finding.unsafe for finding in found.contents.findings] == [True]
    assert f"The program calls torch.{name} (code/__torch__/" in messages(found)
    assert FILES[name] in messages(found)


def test_another_name_for_an_operator_does_not_hide_it(tmp_path: Path, tiny: bytes) -> None:
    changed = with_code(tiny, "    fc = self.fc\n", "    fc = self.fc\n    f = ops.aten.save\n")
    assert changed != tiny
    assert rules(surveyed(tmp_path, changed)) == {"BA001"}


@pytest.mark.parametrize(
    "call", ["ops.mine.op(", "torch.classes.mine.C(", "__torch__.torch.classes.mine.C("]
)
def test_operators_from_elsewhere_are_named(tmp_path: Path, tiny: bytes, call: str) -> None:
    found = surveyed(tmp_path, with_code(tiny, "torch.relu(", call))
    assert call.removesuffix("(") in found.contents.problem
    assert "not supported" in found.contents.problem


def test_an_unknown_operator_of_torch_is_noted(tmp_path: Path, tiny: bytes) -> None:
    found = surveyed(tmp_path, with_code(tiny, "torch.relu(", "torch.brand_new("))
    assert found.contents.problem == ""
    assert "torch.brand_new" in found.contents.notes[0]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("^Python(", "source text that cannot be read"),
        ("(" * 3000 + "torch.relu(", "source text that cannot be read"),
        ("torch.relu(" + "-" * 400, "nested too deeply"),
    ],
)
def test_odd_source_text(tmp_path: Path, tiny: bytes, code: str, words: str) -> None:
    found = surveyed(tmp_path, with_code(tiny, "torch.relu(", code))
    assert words in found.contents.problem


class Restored(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(x)
        return out

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return self.fc.weight, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self.training = state[1]


def test_an_object_that_code_restores_is_refused(tmp_path: Path) -> None:
    found = surveyed(tmp_path, scripted(Restored()))
    assert "that only running its code would restore" in found.contents.problem


def test_what_was_optimised_for_one_machine_is_noted(tmp_path: Path) -> None:
    def make() -> torch.jit.ScriptModule:
        plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
        return torch.jit.optimize_for_inference(torch.jit.script(plain))

    found = surveyed(tmp_path, jit_bytes(quietly(make)))
    assert "to_mkldnn" in " ".join(found.contents.notes)
    assert found.contents.problem == ""


class Order(Enum):
    CHANNELS_FIRST = "NCHW"


class Arranged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.order = Order.CHANNELS_FIRST

    def forward(self, x: Tensor) -> Tensor:
        return x if self.order == Order.CHANNELS_FIRST else x.permute(0, 3, 1, 2)


def test_a_member_of_an_enumeration_is_refused_and_not_called_damage(tmp_path: Path) -> None:
    found = surveyed(tmp_path, scripted(Arranged()))
    assert "Order that only running its code would restore: save the" in found.contents.problem


def test_dangerous_pickles_beside_the_program(tmp_path: Path, tiny: bytes) -> None:
    canary = tmp_path / "canary"

    def change(name: str, content: bytes) -> bytes:
        return pickled(Canary(canary)) if name == "constants.pkl" else content

    found = surveyed(tmp_path, edited(tiny, change))
    assert any(use.level.value == "dangerous" for use in found.contents.uses)
    assert not canary.exists()


def test_a_missing_tensor_is_told(tmp_path: Path, tiny: bytes) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(tiny)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            if not name.endswith("data/0"):
                new.writestr(name, old.read(name))
    assert "lacks its stored numbers" in surveyed(tmp_path, stream.getvalue()).contents.problem


def test_no_operator_is_both_harmless_and_not() -> None:
    assert not HARMLESS & FILES.keys()


@pytest.mark.parametrize("part", ["a;", "1,", "x="])
def test_source_text_of_more_parts_than_a_network_has_is_not_parsed(
    tmp_path: Path, tiny: bytes, part: str
) -> None:
    found = surveyed(tmp_path, with_code(tiny, "class Tiny", part * 200_000 + "1\nclass Tiny"))
    assert "words and signs" in found.contents.problem


def test_names_that_grow_without_end_are_refused(tmp_path: Path, tiny: bytes) -> None:
    name = b"X" + (2000).to_bytes(4, "little") + b"n" * 2000
    pickle = b"\x80\x02c__torch__\nOther\n)\x81}" + name + b"]sb."

    def change(entry: str, content: bytes) -> bytes:
        return pickle if entry.endswith("data.pkl") else content

    assert "names that are longer" in surveyed(tmp_path, edited(tiny, change)).contents.problem
