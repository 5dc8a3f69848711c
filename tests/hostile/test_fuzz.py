"""A short run of the fuzzer; ``benchmarks/fuzz_readers.py`` is the long one."""

from pathlib import Path

import pytest

from tests.hostile.fuzz import MARKS, Fuzzer, seeds

STEPS = 60


@pytest.mark.parametrize("reader", [reader for reader in MARKS if reader != "survey"])
def test_changed_files_are_refused_or_read(reader: str, tmp_path: Path) -> None:
    fuzzer = Fuzzer(tmp_path, reader, seed=0)
    for _ in range(STEPS):
        fuzzer.step()
    assert fuzzer.tally.failures == {}
    assert fuzzer.tally.inputs == STEPS
    assert len(fuzzer.tally.messages) > 1


def test_a_run_can_be_repeated(tmp_path: Path) -> None:
    inputs = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        fuzzer = Fuzzer(folder, "legacy", seed=3)
        for _ in range(20):
            fuzzer.step()
        inputs.append((fuzzer.tally.results, fuzzer.path.read_bytes()))
    assert inputs[0] == inputs[1]


def test_each_reader_has_seeds() -> None:
    assert {reader for reader in MARKS if len(seeds(reader)) < 5} == set()
