"""Honest files cut off wherever a part of them ends."""

import io
import pickletools
from collections.abc import Iterable
from pathlib import Path

from tests.hostile.assembler import pickled
from tests.hostile.case import LOADS, REFUSED
from tests.hostile.honest import entries, legacy, legacy_state_dict, state_dict
from tests.hostile.onnx_files import model
from tests.hostile.outcome import surveyed
from tests.hostile.protobuf import fields
from tests.hostile.safetensors_files import honest
from tests.hostile.zips import Entry, written


def results(folder: Path, data: bytes, lengths: Iterable[int]) -> dict[int, str]:
    found = {}
    for length in sorted(set(lengths)):
        path = folder / f"{length}.pt"
        path.write_bytes(data[:length])
        found[length] = surveyed(path).result
    return found


def opcode_ends(data: bytes, stop: int) -> list[int]:
    stream, ends = io.BytesIO(data), []
    while stream.tell() < stop:
        ends += [position or 0 for _, _, position in pickletools.genops(stream)]
        ends.append(stream.tell())
    return ends


def field_ends(data: bytes, start: int = 0, depth: int = 0) -> list[int]:
    ends = []
    for at, end in fields(data):
        ends += [start + at, start + end]
        if depth < 4:
            ends += field_ends(data[at:end], start + at, depth + 1)
    return ends


def assert_only_the_whole_loads(folder: Path, data: bytes, lengths: Iterable[int]) -> None:
    assert results(folder, data, [len(data)]) == {len(data): LOADS}
    found = results(folder, data, [length for length in lengths if length < len(data)])
    assert len(found) > 10
    assert set(found.values()) == {REFUSED}, found


def test_archive_after_each_header_name_entry_and_record(tmp_path: Path) -> None:
    archive = written(*entries(pickled(state_dict())))
    assert_only_the_whole_loads(tmp_path, archive.data, archive.boundaries)


def test_packed_archive_after_each_header_name_entry_and_record(tmp_path: Path) -> None:
    honest_entries = entries(pickled(state_dict()))
    packed = [Entry(entry.name, entry.data, deflate=True) for entry in honest_entries]
    archive = written(*packed)
    assert_only_the_whole_loads(tmp_path, archive.data, archive.boundaries)


def test_pickle_in_an_archive_after_each_opcode(tmp_path: Path) -> None:
    pickle = pickled(state_dict())
    found = {}
    for length in opcode_ends(pickle, len(pickle))[:-1]:
        data = written(*entries(pickle[:length])).data
        found.update(results(tmp_path, data, [len(data)]))
    assert len(found) > 40
    assert set(found.values()) == {REFUSED}, found


def test_legacy_file_after_each_opcode_and_storage(tmp_path: Path) -> None:
    data = legacy(legacy_state_dict())
    storages = len(data) - 48
    ends = opcode_ends(data, storages)
    assert_only_the_whole_loads(
        tmp_path, data, [*ends, *range(storages, len(data), 4), len(data) - 1]
    )


def test_safetensors_after_each_byte(tmp_path: Path) -> None:
    data = honest()
    assert_only_the_whole_loads(tmp_path, data, range(len(data)))


def test_onnx_after_each_field(tmp_path: Path) -> None:
    data = model()
    assert_only_the_whole_loads(tmp_path, data, field_ends(data))
