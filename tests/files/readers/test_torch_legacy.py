import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from backaudit.files.pickles.values import Inert
from tests.files.samples import (
    STATE,
    Canary,
    holds,
    legacy_bytes,
    messages,
    pickled,
    rules,
    surveyed,
)

WHOLE = legacy_bytes(STATE)
MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
DAMAGED = "is damaged or truncated"
# Two numbers of type float32, as torch writes a storage: their count, then their bytes.
NUMBERS = (2).to_bytes(8, "little") + bytes(8)


class Stored:
    """Stands for a tensor's storage in a pickle made by hand."""

    def __init__(
        self, key: str, count: int, view: Any = None, kind: Any = torch.FloatStorage
    ) -> None:
        self.name = ("storage", kind, key, "cpu", count, view)


class Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> Any:
        return value.name if isinstance(value, Stored) else None


class Tensor:
    def __init__(self, stored: Stored, size: int, offset: int = 0) -> None:
        self.args = (stored, offset, (size,), (1,), False, {})

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, self.args


def by_hand(
    value: object,
    keys: Any = ("k",),
    numbers: bytes = NUMBERS,
    system: Any = SYSTEM,
    protocol: int = 1001,
) -> bytes:
    stream = io.BytesIO()
    for part in (MAGIC, protocol, system, value, list(keys)):
        Pickler(stream, 2).dump(part)
    return stream.getvalue() + numbers


ONE = {"w": Tensor(Stored("k", 2), 2)}


def test_a_state_dict(tmp_path: Path) -> None:
    found = surveyed(tmp_path, WHOLE)
    assert (found.format, found.contents.problem, found.contents.findings) == (
        "torch-legacy",
        "",
        (),
    )
    assert holds(found.contents.saved, STATE)


def test_tied_and_strided_tensors_of_several_types(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    state = {"a": base, "b": base, "c": base.T, "d": base[1:, 2], "h": base.half(), "n": base > 3}
    assert holds(surveyed(tmp_path, legacy_bytes(state)).contents.saved, state)


def test_what_is_made_by_hand_is_what_torch_writes(tmp_path: Path) -> None:
    path = tmp_path / "hand.pt"
    path.write_bytes(by_hand(ONE))
    read = torch.load(path, weights_only=True)  # noqa: TID251
    assert torch.equal(read["w"], torch.zeros(2))
    assert holds(surveyed(tmp_path, by_hand(ONE)).contents.saved, read)


def test_a_view_of_a_storage(tmp_path: Path) -> None:
    numbers = (3).to_bytes(8, "little") + torch.tensor([1.0, 2.0, 3.0]).numpy().tobytes()
    data = by_hand({"w": Tensor(Stored("k", 3, ("v", 1, 2)), 2)}, numbers=numbers)
    assert holds(surveyed(tmp_path, data).contents.saved, {"w": torch.tensor([2.0, 3.0])})


def test_a_whole_module(tmp_path: Path) -> None:
    found = surveyed(tmp_path, legacy_bytes(nn.Linear(2, 3)))
    assert found.contents.problem == ""
    assert isinstance(found.contents.saved, Inert)


def test_a_dangerous_pickle(tmp_path: Path) -> None:
    found = surveyed(tmp_path, legacy_bytes({"x": Canary(tmp_path / "canary")}))
    assert rules(found) == {"BA001"}
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("place", range(5))
def test_every_stacked_pickle_is_looked_at(tmp_path: Path, place: int) -> None:
    parts: list[Any] = [MAGIC, 1001, SYSTEM, {"a": 1}, []]
    evil = Canary(tmp_path / "canary")
    parts[place] = {0: (MAGIC, evil), 2: {**SYSTEM, "x": evil}, 4: [evil]}.get(place, evil)
    data = b"".join(pickled(part) for part in parts)
    found = surveyed(tmp_path, data)
    assert (found.format, "BA001" in rules(found)) == ("torch-legacy", True)
    assert not (tmp_path / "canary").exists()


def test_a_pickle_after_the_numbers(tmp_path: Path) -> None:
    found = surveyed(tmp_path, WHOLE + pickled(Canary(tmp_path / "canary")))
    assert {finding.rule.id for finding in found.unsafe} == {"BA001", "BA004"}
    assert f"at offset {len(WHOLE)}" in messages(found)


def test_bytes_after_the_numbers(tmp_path: Path) -> None:
    found = surveyed(tmp_path, WHOLE + b"\xff\xff")
    assert "2 bytes follow the end of what torch reads" in messages(found)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (by_hand(ONE, system={**SYSTEM, "little_endian": False}), "on a big-endian machine"),
        (
            by_hand(ONE).replace(b"\x8a\x0al", b"\x8a\x0bl").replace(b"\x19.", b"\x19\1.", 1),
            DAMAGED,
        ),
        (by_hand(ONE, protocol=1000), "old format in version 1000, not 1001"),
        (by_hand(ONE, keys=()), "lists other stored numbers than its pickle uses"),
        (by_hand(ONE, keys=("k", "l")), "lists other stored numbers than its pickle uses"),
        (by_hand(ONE, keys=("k", "k")), "is damaged or truncated"),
        (by_hand(ONE, numbers=(3).to_bytes(8, "little") + bytes(12)), "tells of 2"),
        (by_hand(ONE, numbers=NUMBERS[:-1]), "is damaged or truncated"),
        (
            by_hand({"w": ONE["w"], "v": Tensor(Stored("k", 9), 2)}),
            "describes its stored numbers 'k' in two ways",
        ),
        (by_hand({"w": Tensor(Stored("k", 2), 3)}), "reaches outside its stored bytes"),
        (by_hand({"w": Tensor(Stored("k", 2), 2, offset=1)}), "reaches outside its stored bytes"),
    ],
)
def test_refusals(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in surveyed(tmp_path, data).contents.problem


def test_the_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    for length in range(1, len(WHOLE), 41):
        assert surveyed(tmp_path, WHOLE[:length]).contents.problem


def test_a_tar_archive_that_begins_as_a_legacy_file(tmp_path: Path) -> None:
    """Torch looks for a tar archive before it looks for pickles."""
    magic = pickle.dumps(MAGIC, 2) + pickle.dumps(1001, 2)
    start = magic + b"\x80\x02}(U\x10protocol_versionM\xe9\x03U\rlittle_endian\x88U\x03padX"
    text = bytearray(512 - len(start) - 4)
    block = bytearray(start + len(text).to_bytes(4, "little") + text)
    assert len(start) + 4 < 100
    block[100:108], block[124:136] = b"0000644\0", b"00000000000\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    keys = WHOLE[WHOLE.index(pickle.dumps(MAGIC, 2)) :]
    rest = keys[keys.index(b".", len(magic)) + 1 :]
    found = surveyed(tmp_path, bytes(block) + b"u." + rest)
    assert tarfile.is_tarfile(tmp_path / "file.png")
    assert (found.format, rules(found)) == ("torch-legacy", {"BA004"})
    assert "is a tar archive as well" in messages(found)
