import io
import struct
import zipfile
import zlib

import pytest

from backaudit.files.archives.zip_headers import DESCRIPTOR_MARK
from backaudit.loading.rewriting.checksums import restore
from tests.files.archives.zips import Entry, archive

NUMBERS, OTHERS = b"numbers!" * 4, b"other numbers"


def changed(data: bytes, before: bytes, after: bytes) -> tuple[bytes, list[str]]:
    """The archive with some bytes replaced and its checksums restored, and what is still wrong."""
    copy = io.BytesIO(data)
    at = data.index(before)
    copy.seek(at)
    copy.write(after)
    restore(copy, memoryview(data), [(at, at + len(before))])
    with zipfile.ZipFile(copy) as read:
        return copy.getvalue(), [read.testzip() or ""]


def test_both_headers_are_made_right() -> None:
    data = archive(Entry(b"a/0", NUMBERS), Entry(b"a/1", OTHERS))
    made, wrong = changed(data, NUMBERS, b"replaced" * 4)
    assert wrong == [""]
    right = zlib.crc32(b"replaced" * 4).to_bytes(4, "little")
    assert made.count(right) == 2
    assert len(made) == len(data)
    differing = [i for i, (one, other) in enumerate(zip(data, made, strict=True)) if one != other]
    assert len(differing) <= 32 + 2 * 4


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("late", [True, False])
def test_checksums_that_follow_the_bytes(marked: bool, late: bool) -> None:
    crc, size = zlib.crc32(NUMBERS), len(NUMBERS)
    after = DESCRIPTOR_MARK * marked + struct.pack("<3L", crc, size, size)
    local: dict[str, int | bytes] = {
        "flags": 8,
        **({"crc": 0, "packed": 0, "nbytes": 0} if late else {}),
    }
    data = archive(Entry(b"a/0", NUMBERS, local=local, central={"flags": 8}, after=after))
    made, wrong = changed(data, NUMBERS, b"replaced" * 4)
    assert wrong == [""]
    right = zlib.crc32(b"replaced" * 4).to_bytes(4, "little")
    assert made.count(right) == (2 if late else 3)
    assert made[14:18] == (bytes(4) if late else right)


def test_archives_within_archives() -> None:
    inner = archive(Entry(b"b/0", NUMBERS), Entry(b"b/1", OTHERS))
    data = archive(Entry(b"a/first", OTHERS), Entry(b"a/inner", inner))
    made, wrong = changed(data, NUMBERS, b"replaced" * 4)
    assert wrong == [""]
    with zipfile.ZipFile(io.BytesIO(made)) as outer:
        within = zipfile.ZipFile(io.BytesIO(outer.read("a/inner")))
        assert within.testzip() is None
        assert within.read("b/0") == b"replaced" * 4


def test_numbers_that_look_like_an_archive_are_numbers() -> None:
    lookalike = b"PK\x03\x04" + bytes(28)
    data = archive(Entry(b"a/0", lookalike))
    _, wrong = changed(data, lookalike, b"PK\x03\x04" + bytes(range(28)))
    assert wrong == [""]


def test_entries_that_were_not_changed_keep_even_a_wrong_checksum() -> None:
    data = archive(Entry(b"a/0", NUMBERS), Entry(b"a/1", OTHERS, {"crc": 5}, {"crc": 5}))
    _, wrong = changed(data, NUMBERS, b"replaced" * 4)
    assert wrong == ["a/1"]
