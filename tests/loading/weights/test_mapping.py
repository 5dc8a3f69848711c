import sys
from pathlib import Path

import pytest
import torch

from backaudit.files.opened import OpenedFile
from backaudit.loading.weights import mapping
from backaudit.loading.weights.mapping import first_byte


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "numbers"
    path.write_bytes(bytes(range(256)) * 100)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_first_byte_of_a_mapping(file: Path) -> None:
    opened = OpenedFile(file, 10**6)
    mapped = torch.UntypedStorage.from_file(str(opened.copy), False, 25_600)
    assert first_byte(opened, mapped[300:].data_ptr()) == mapped.data_ptr()


def test_memory_that_is_no_mapping_of_the_copy(file: Path) -> None:
    mapped = torch.UntypedStorage.from_file(str(file), False, 25_600)
    opened = OpenedFile(file, 10**6)
    assert first_byte(opened, mapped.data_ptr()) is None
    assert first_byte(opened, torch.ones(3).data_ptr()) is None
    assert first_byte(opened, 1) is None


def test_systems_that_do_not_tell(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "MAPS", tmp_path / "missing")
    opened = OpenedFile(file, 10**6)
    mapped = torch.UntypedStorage.from_file(opened.copy or str(file), False, 25_600)
    assert first_byte(opened, mapped.data_ptr()) is None
