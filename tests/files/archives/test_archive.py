import io
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from backaudit.core.errors import CheckpointError
from backaudit.files.archives.archive import Archive, read_archive
from backaudit.files.limits import USUAL, Limits
from backaudit.files.opened import OpenedFile
from tests.files.archives.zips import Entry, archive

PICKLE = Entry(b"archive/data.pkl", b"\x80\x02N.")
VERSION = Entry(b"archive/version", b"3\n")
DESCRIBED = 8


def opened(tmp_path: Path, data: bytes) -> OpenedFile:
    path = tmp_path / "file.zip"
    path.write_bytes(data)
    return OpenedFile(path, 10**9)


def read(tmp_path: Path, data: bytes, limits: Limits = USUAL) -> Archive:
    return read_archive(opened(tmp_path, data), limits)


def told(found: Archive) -> str:
    assert all(finding.rule.id == "BA004" and finding.unsafe for finding in found.findings)
    return " ".join(finding.message for finding in found.findings)


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def tell(self) -> int:
        raise OSError

    def seek(self, *_where: int) -> int:
        raise OSError


def by_torch() -> bytes:
    stream = io.BytesIO()
    torch.save({"a": torch.ones(3)}, stream)
    return stream.getvalue()


def by_zipfile(stream: io.BytesIO, **options: Any) -> bytes:
    with zipfile.ZipFile(stream, "w", **options) as writer:
        for entry in (PICKLE, VERSION):
            with writer.open(entry.name.decode(), "w", force_zip64=True) as member:
                member.write(entry.data)
    return stream.getvalue()


def long_ended(count: int = 2) -> bytes:
    """An archive whose end is written with 64 bits."""
    plain = archive(PICKLE, VERSION)
    at = len(plain) - 22
    size, start = struct.unpack_from("<2L", plain, at + 12)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    return plain[:at] + record + locator + plain[at:]


@pytest.mark.parametrize(
    "data",
    [
        by_torch(),
        by_zipfile(io.BytesIO()),
        by_zipfile(io.BytesIO(), compression=zipfile.ZIP_DEFLATED),
        by_zipfile(Unseekable()),
        archive(PICKLE, VERSION),
        archive(Entry(b"archive/", b""), PICKLE, VERSION),
        archive(PICKLE, VERSION, comment=b"any words"),
        long_ended(),
    ],
)
def test_an_honest_archive_has_no_findings(tmp_path: Path, data: bytes) -> None:
    found = read(tmp_path, data)
    assert found.findings == ()
    assert found.root == "archive"
    assert bytes(found.members["version"].read(10)).strip() == b"3"
    assert {"data.pkl", "version"} <= found.members.keys()


def test_stored_numbers_are_not_copied_and_packed_ones_are_unpacked(tmp_path: Path) -> None:
    data = archive(Entry(b"a/data/0", b"stored"), Entry(b"a/data/1", b"packed", deflated=True))
    found = read(tmp_path, data)
    stored, packed = (found.members[name].storage() for name in ("data/0", "data/1"))
    assert (stored.deflated, bytes(stored.read())) == (None, b"stored")
    assert packed.deflated is not None
    assert bytes(packed.read()) == b"packed"
    assert found.members["data/1"].head(3) == b"pac"


def test_a_wrong_checksum_is_no_reason_not_to_look(tmp_path: Path) -> None:
    entry = Entry(*(PICKLE.name, PICKLE.data), local={"crc": 1}, central={"crc": 1})
    found = read(tmp_path, archive(entry, VERSION))
    assert found.findings == ()
    assert bytes(found.members["data.pkl"].read(10)) == PICKLE.data


def lying(**fields: Any) -> Entry:
    return Entry(PICKLE.name, PICKLE.data, central=fields)


def lying_twice(**fields: Any) -> Entry:
    return Entry(PICKLE.name, PICKLE.data, local=fields, central=fields)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (archive(PICKLE, VERSION, PICKLE), "are names for one entry"),
        (archive(PICKLE, Entry(b"archive/DATA.pkl", b"N.")), "are names for one entry"),
        (archive(PICKLE, Entry(b"archive/./data.pkl", b"N.")), "are names for one entry"),
        (archive(PICKLE, Entry(b"archive//data.pkl", b"N.")), "are names for one entry"),
        (archive(PICKLE, Entry(b"archive/data.pkl.", b"N.")), "are names for one entry"),
        (archive(PICKLE, Entry(b"archive\\data.pkl", b"N.")), "leads out of the archive"),
        (archive(PICKLE, Entry(b"other/data.pkl", b"N.")), "a second 'data.pkl'"),
        (archive(VERSION, Entry(b"other/data.pkl", b"N.")), "does not lie in 'archive'"),
        (archive(PICKLE, Entry(b"../data/0", b"")), "leads out of the archive"),
        (archive(PICKLE, Entry(b"archive/a/../../../b", b"")), "leads out of the archive"),
        (archive(PICKLE, Entry(b"/etc/passwd", b"")), "leads out of the archive"),
        (archive(PICKLE, Entry(b"C:/data", b"")), "leads out of the archive"),
        (archive(PICKLE, Entry(b"archive/data\0.pkl", b"")), "leads out of the archive"),
        (archive(lying(name=b"archive/date.pkl")), "is called 'archive/data.pkl' in its own"),
        (archive(lying(flags=1)), "is marked as encrypted"),
        (archive(lying_twice(flags=1)), "is marked as encrypted"),
        (archive(lying(flags=1 << 11)), "has other flags or another compression"),
        (archive(lying(nbytes=2, packed=2)), "has another size in its own header"),
        (archive(lying_twice(nbytes=2)), "is not compressed, but has two sizes"),
        (
            archive(lying(attributes=(stat.S_IFLNK | 0o777) << 16, made=3 << 8)),
            "is a link to another file",
        ),
        (archive(PICKLE, VERSION, count=1), "its end record counts 1 entries"),
        (long_ended(count=1), "its two end records disagree"),
        (archive(PICKLE, VERSION) + b"more", "4 bytes follow its end"),
        (archive(PICKLE, comment=archive()), "between its directory and its end"),
        (archive(PICKLE, gap=b"hidden"), "between its directory and its end"),
        (archive(Entry(*(PICKLE.name, PICKLE.data), after=b"hidden")), "6 bytes that belong to no"),
        (
            archive(Entry(*(PICKLE.name, PICKLE.data), after=PICKLE.data), VERSION),
            "is followed by 4 bytes that belong to no entry",
        ),
        (archive(lying_twice(flags=DESCRIBED)), "is followed by bytes that belong to no entry"),
    ],
)
def test_what_can_be_read_in_two_ways_is_a_finding(tmp_path: Path, data: bytes, words: str) -> None:
    assert words in told(read(tmp_path, data))


def test_an_entry_over_the_bytes_of_another(tmp_path: Path) -> None:
    length = len(PICKLE.data) + len(archive(VERSION)) - 22
    wide = lying_twice(packed=length, nbytes=length)
    assert "overlaps what follows it" in told(read(tmp_path, archive(wide, VERSION)))


def test_two_entries_of_the_same_bytes(tmp_path: Path) -> None:
    second = Entry(PICKLE.name, b"", central={"offset": 0, "packed": 4, "nbytes": 4, "crc": 0})
    assert "overlaps what follows it" in told(read(tmp_path, archive(PICKLE, second)))


def test_bytes_before_the_first_entry(tmp_path: Path) -> None:
    hidden = Entry(b"archive/data.pkl", b"")
    whole = archive(hidden, PICKLE)
    start = 30 + len(hidden.name)
    # The directory forgets the first entry.
    directory = whole.index(b"PK\x01\x02")
    second = whole.index(b"PK\x01\x02", directory + 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(whole) - 22 - second, directory, 0)
    data = whole[:directory] + whole[second : len(whole) - 22] + end
    assert f"{start} bytes stand before its first entry" in told(read(tmp_path, data))


def test_many_contradictions_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path, archive(*[PICKLE] * 50))
    assert len(found.findings) == 13
    assert "there are 37 more such contradictions" in found.findings[-1].message


@pytest.mark.parametrize("data", [by_torch(), by_zipfile(io.BytesIO()), long_ended()])
def test_an_archive_cut_anywhere_is_damaged(tmp_path: Path, data: bytes) -> None:
    for length in range(4, len(data), 7):
        with pytest.raises(CheckpointError, match="is damaged or truncated"):
            read(tmp_path, data[:length])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (archive(lying_twice(method=12)), "'archive/data.pkl' with compression method 12"),
        (archive(lying(offset=9999)), "is damaged or truncated"),
        (archive(lying_twice(packed=9999, nbytes=9999)), "is damaged or truncated"),
        (archive(lying(packed=0xFFFFFFFF)), "is damaged or truncated"),
        (archive(PICKLE, start=9999), "is damaged or truncated"),
        (archive(PICKLE).replace(b"PK\x01\x02", b"PK\x01\x03"), "is damaged or truncated"),
        (archive(PICKLE).replace(b"PK\x05\x06\0\0", b"PK\x05\x06\1\0"), "part of a split zip"),
        (long_ended().replace(b"PK\x06\x06", b"PK\x06\x05"), "is damaged or truncated"),
    ],
)
def test_refusals(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        read(tmp_path, data)


def test_more_than_the_file_can_hold_is_refused_before_unpacking(tmp_path: Path) -> None:
    sizes = {"nbytes": 10**8}
    bomb = Entry(b"archive/data/0", b"small", local=sizes, central=sizes, deflated=True)
    with pytest.raises(CheckpointError, match=r"claims 0\.0931 GiB .* raise --max-gib"):
        read(tmp_path, archive(PICKLE, bomb))
    assert read(tmp_path, archive(PICKLE, bomb), Limits(growth=None)).findings == ()


def test_too_many_entries(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has 3 entries, over the limit of 2"):
        read(tmp_path, archive(PICKLE, VERSION, PICKLE), Limits(entries=2))


def test_a_member_that_is_too_long(tmp_path: Path) -> None:
    found = read(tmp_path, archive(PICKLE))
    with pytest.raises(CheckpointError, match="more than the 3 that such an entry may have"):
        found.members["data.pkl"].read(3)


@pytest.mark.parametrize("nbytes", [3, 5])
def test_a_member_that_unpacks_to_another_size(tmp_path: Path, nbytes: int) -> None:
    sizes = {"nbytes": nbytes}
    entry = Entry(PICKLE.name, PICKLE.data, local=sizes, central=sizes, deflated=True)
    found = read(tmp_path, archive(entry))
    with pytest.raises(CheckpointError, match="unpacks to another size than it claims"):
        found.members["data.pkl"].read(10)


def test_names_that_are_not_ascii(tmp_path: Path) -> None:
    entries = (
        Entry("é/data.pkl".encode(), b"N.", *({"flags": 1 << 11},) * 2),
        Entry(b"\xff/version", b"3"),
    )
    found = read(tmp_path, archive(*entries))
    assert [member.name for member in found.entries] == ["é/data.pkl", "\xa0/version"]


@pytest.mark.parametrize("name", [b"BYTEORDER", b"Model.json", b"constants.PKL"])
def test_names_that_torch_takes_for_others_whatever_their_case(tmp_path: Path, name: bytes) -> None:
    found = read(tmp_path, archive(PICKLE, Entry(b"archive/" + name, b"big")))
    assert "torch takes the name" in told(found)


@pytest.mark.parametrize("name", ["model.json", "archive_format"])
def test_entries_that_another_loader_reads_in_place_of_the_pickle(
    tmp_path: Path, name: str
) -> None:
    found = read(tmp_path, archive(PICKLE, Entry(f"archive/{name}".encode(), b"{}")))
    assert f"it holds both 'data.pkl' and '{name}'" in told(found)


def test_a_second_name_in_an_extra_field(tmp_path: Path) -> None:
    field = struct.pack("<2HBL", 0x7075, 9, 1, 0) + b"else"
    entry = Entry(PICKLE.name, PICKLE.data, local={"extra": field}, central={"extra": field})
    assert "has another name in an extra field" in told(read(tmp_path, archive(entry)))


@pytest.mark.parametrize(
    ("local", "words"),
    [
        ({"extra": struct.pack("<2H", 0x4242, 0) * 100}, "more extra fields"),
        ({"name": b"n" * 5000}, "name has 5000 bytes"),
    ],
)
def test_headers_that_many_entries_could_share_are_bounded(
    tmp_path: Path, local: dict[str, int | bytes], words: str
) -> None:
    with pytest.raises(CheckpointError, match=words):
        read(tmp_path, archive(Entry(PICKLE.name, PICKLE.data, local=local)))


def test_entries_within_one_another_are_not_unpacked_over_and_over(tmp_path: Path) -> None:
    content = bytes(10**6)
    first = Entry(b"archive/a", content)
    size = {"offset": 0, "packed": 10**6, "nbytes": 1, "method": 8}
    others = [Entry(b"archive/%d" % index, b"", central=size) for index in range(100)]
    with pytest.raises(CheckpointError, match="over the limit"):
        read(tmp_path, archive(first, *others))
