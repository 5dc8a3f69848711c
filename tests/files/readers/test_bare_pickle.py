from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.files.samples import Canary, holds, messages, pickled, rules, surveyed

ARRAYS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2)}


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_arrays(tmp_path: Path, protocol: int) -> None:
    found = surveyed(tmp_path, pickled(ARRAYS, protocol))
    assert (found.format, found.contents.problem, found.contents.findings) == ("pickle", "", ())
    expected = {name: torch.from_numpy(value) for name, value in ARRAYS.items()}
    assert holds(found.contents.saved, expected)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_dangerous_one(tmp_path: Path, protocol: int, wrapped: bool) -> None:
    evil: Any = Canary(tmp_path / "canary")
    found = surveyed(tmp_path, pickled({"a": [evil]} if wrapped else evil, protocol))
    assert (found.format, rules(found)) == ("pickle", {"BA001"})
    assert not (tmp_path / "canary").exists()


def test_a_name_without_a_call(tmp_path: Path) -> None:
    found = surveyed(tmp_path, b"cposix\nsystem\n.")
    assert "Loading it would import posix.system" in messages(found)


def test_several_in_one_file(tmp_path: Path) -> None:
    data = pickled({"a": 1}) + pickled(2) + pickled(Canary(tmp_path / "canary"))
    assert rules(surveyed(tmp_path, data)) == {"BA001", "BA004"}


def test_one_that_is_cut_off(tmp_path: Path) -> None:
    data = pickled([Canary(tmp_path / "canary"), "more"])[:-1]
    found = surveyed(tmp_path, data)
    assert rules(found) == {"BA001"}
    assert "is damaged or truncated" in found.contents.problem


def test_names_given_from_outside_do_not_hide_what_follows(tmp_path: Path) -> None:
    found = surveyed(tmp_path, b"\x80\x02K\x01Q0cposix\nsystem\n.")
    assert rules(found) == {"BA001"}
    assert found.contents.problem


def test_numbers_of_an_extension_registry(tmp_path: Path) -> None:
    found = surveyed(tmp_path, b"\x80\x02\x82\x01)R.")
    assert "BA004" in rules(found)
    assert "EXT1 at offset 2" in messages(found)


@pytest.mark.parametrize("text", [b"import torch\n", b"Some words.\n", b"1\n2\n", b"(.", b"N."])
def test_texts_are_none(tmp_path: Path, text: bytes) -> None:
    found = surveyed(tmp_path, text)
    assert (found.format, found.contents.findings) == ("unknown", ())
    assert "is not a checkpoint of a known format" in found.contents.problem
