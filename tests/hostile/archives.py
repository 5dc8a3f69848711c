"""Archives that two programs read differently, that lie about sizes, or that are no archives."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator

from tests.hostile.assembler import pickled
from tests.hostile.case import LOADS, REFUSED, UNSAFE, Canary, Case, file_case
from tests.hostile.honest import entries, honest_zip, state_dict, torch_zip
from tests.hostile.zips import Entry, zipped

KIND = "archives"
BOMB = 96 * 2**20
SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(24)


def _hostile(canary: Canary) -> list[Entry]:
    return entries(pickled(canary.call))


def _with_first(canary: Canary, **changed: object) -> bytes:
    first, *rest = _hostile(canary)
    return zipped(Entry(first.name, first.data, **changed), *rest)  # type: ignore[arg-type]


def renamed_in_header(canary: Canary) -> bytes:
    """The local header names another file than the central directory."""
    return _with_first(canary, local={"name": b"archive/datap.kl"})


def encrypted_flag(flag: int) -> Callable[[Canary], bytes]:
    """A flag bit that some readers honour and torch ignores."""
    return lambda canary: _with_first(canary, local={"flags": flag}, central={"flags": flag})


def flag_in_one_header(canary: Canary) -> bytes:
    """The flag is set in the central directory only."""
    return _with_first(canary, central={"flags": 1})


def wrong_crc(canary: Canary) -> bytes:
    """The checksum is wrong: some readers stop there, torch reads on."""
    return _with_first(canary, local={"crc": 1}, central={"crc": 1})


def duplicate(canary: Canary) -> bytes:
    """Two entries of one name, the first honest."""
    honest, *rest = entries(pickled(state_dict()))
    return zipped(honest, *rest, _hostile(canary)[0])


def duplicate_first(canary: Canary) -> bytes:
    """Two entries of one name, the second honest."""
    honest, *rest = entries(pickled(state_dict()))
    return zipped(_hostile(canary)[0], honest, *rest)


def hidden_entry(canary: Canary) -> bytes:
    """A local header that the central directory does not list."""
    first, *rest = entries(pickled(state_dict()))
    return zipped(Entry(first.name, pickled(canary.call), central=None), first, *rest)


def shared_offset(canary: Canary) -> bytes:
    """The central directory's ``data.pkl`` points at another entry's bytes."""
    first, *rest = entries(pickled(state_dict()))
    other = Entry("archive/extra", pickled(canary.call))
    return zipped(other, Entry(first.name, first.data, central={"offset": 0}), *rest)


def two_directories(canary: Canary) -> bytes:
    """A second archive after the first: which end record counts?"""
    return honest_zip() + zipped(*_hostile(canary))


def archive_in_comment(canary: Canary) -> bytes:
    """A whole archive in the comment of another."""
    return zipped(*entries(pickled(state_dict())), comment=zipped(*_hostile(canary)))


def disagreeing_sizes(canary: Canary) -> bytes:
    """The local header gives another size than the central directory."""
    return _with_first(canary, local={"packed": 3, "size": 3})


def two_roots(canary: Canary) -> bytes:
    """Two folders with a ``data.pkl`` each."""
    return zipped(*entries(pickled(state_dict())), *entries(pickled(canary.call), "other"))


def second_pickle_member(canary: Canary) -> bytes:
    """A further member that is a pickle, under a harmless name."""
    return zipped(*entries(pickled(state_dict())), Entry("archive/notes.txt", pickled(canary.call)))


def other_extension(canary: Canary) -> bytes:
    """Pickle under a name that some scanners skip."""
    return zipped(Entry("archive/data.txt", pickled(canary.call)), Entry("archive/version", b"3"))


def broken_entry_first(canary: Canary) -> bytes:
    """An entry that cannot be read lies before the hostile one."""
    broken = Entry("archive/aaa", b"x" * 9, local={"method": 99}, central={"method": 99})
    return zipped(broken, *_hostile(canary))


def case_folded(canary: Canary) -> bytes:
    """Names that a case-folding file system takes for one."""
    return zipped(*entries(pickled(state_dict())), Entry("archive/DATA.PKL", pickled(canary.call)))


def nul_in_name(canary: Canary) -> bytes:
    """A name that C programs cut off at a zero byte."""
    hidden = Entry("archive/data.pkl\0.txt", pickled(canary.call))
    return zipped(hidden, *entries(pickled(state_dict())))


def data_descriptor(canary: Canary) -> bytes:
    """The local header leaves sizes to a descriptor that does not follow."""
    return _with_first(canary, local={"flags": 8, "packed": 0, "size": 0}, central={"flags": 8})


def prefixed(canary: Canary) -> bytes:
    """Bytes before the archive: a pickle that other readers take the file for."""
    return pickled(canary.call) + honest_zip()


def tar_file(canary: Canary) -> bytes:
    """Torch's oldest format: a tar of pickles."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("pickle", "storages", "tensors", "sys_info"):
            data = pickled(canary.call)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


DECEPTIVE: dict[str, tuple[Callable[[Canary], bytes], str]] = {
    "renamed-in-local-header": (renamed_in_header, "CVE-2025-1944 GHSA-7q5r-7gvp-wc82"),
    "flag-encrypted": (encrypted_flag(0x1), "CVE-2025-1945 GHSA-w8jq-xcqf-f792"),
    "flag-patched": (encrypted_flag(0x20), "CVE-2025-1945 GHSA-w8jq-xcqf-f792"),
    "flag-strong": (encrypted_flag(0x40), "CVE-2025-1945 GHSA-w8jq-xcqf-f792"),
    "flag-in-one-header": (flag_in_one_header, "CVE-2025-1945 GHSA-w8jq-xcqf-f792"),
    "wrong-crc": (wrong_crc, "CVE-2025-10156 GHSA-mjqp-26hc-grxg"),
    "duplicate-second": (duplicate, ""),
    "duplicate-first": (duplicate_first, ""),
    "hidden-entry": (hidden_entry, ""),
    "shared-offset": (shared_offset, ""),
    "disagreeing-sizes": (disagreeing_sizes, ""),
    "two-roots": (two_roots, ""),
    "second-pickle-member": (second_pickle_member, "CVE-2025-1889 GHSA-769v-p64c-89pr"),
    "case-folded-name": (case_folded, ""),
    "nul-in-name": (nul_in_name, ""),
    "data-descriptor": (data_descriptor, ""),
    "pickle-before-archive": (prefixed, ""),
}


UNREADABLE: dict[str, tuple[Callable[[Canary], bytes], str]] = {
    "two-directories": (two_directories, ""),
    "archive-in-comment": (archive_in_comment, ""),
    "broken-entry-first": (broken_entry_first, "modelscan issue 354"),
    "legacy-tar": (tar_file, "CVE-2025-32434"),
}


def _bomb(members: int = 1) -> bytes:
    zeros = bytes(BOMB // members)
    first, *rest = entries(pickled(state_dict()))
    bombs = (Entry(f"archive/data/{2 + index}", zeros, deflate=True) for index in range(members))
    return zipped(first, *rest, *bombs)


def _overlapping() -> bytes:
    """Many central records that share one packed entry."""
    kernel = Entry("archive/data/2", bytes(2**20), deflate=True)
    first, *rest = entries(pickled(state_dict()))
    shared = {"offset": 0}
    aliases = (
        Entry(f"archive/data/{index}", kernel.data, deflate=True, central=shared)
        for index in range(3, 300)
    )
    return zipped(kernel, *aliases, first, *rest)


def _claimed(size: int) -> bytes:
    first, *rest = entries(pickled(state_dict()))
    lie = {"size": size, "packed": size}
    return zipped(first, Entry("archive/data/9", b"x", local=lie, central=lie), *rest)


def _zip64_lie() -> bytes:
    extra = struct.pack("<HHQQQ", 1, 24, 2**62, 2**62, 2**62)
    lie = {"size": 2**32 - 1, "packed": 2**32 - 1}
    first, *rest = entries(pickled(state_dict()))
    return zipped(first, Entry("archive/data/9", b"x", local=lie, central=lie, extra=extra), *rest)


def _nested_bomb() -> bytes:
    data = zipped(Entry("x", bytes(2**20), deflate=True))
    for _ in range(20):
        data = zipped(Entry("x", data, deflate=True))
    return data


BOMBS: dict[str, Callable[[Canary], bytes]] = {
    "zip-bomb": lambda _: _bomb(),
    "zip-bomb-of-many": lambda _: _bomb(50),
    "zip-bomb-overlapping": lambda _: _overlapping(),
    "zip-claims-gigabytes": lambda _: _claimed(2**31),
    "zip64-claims-exabytes": lambda _: _zip64_lie(),
    "zip-in-zip-in-zip": lambda _: _nested_bomb(),
}
BROKEN: dict[str, bytes] = {
    "zip-without-data": zipped(Entry("archive/version", b"3")),
    "zip-of-nothing": zipped(),
    "zip-with-many-entries-claimed": zipped(
        *entries(pickled(state_dict())), entries=65_000, entries_here=65_000
    ),
    "zip-directory-outside": zipped(*entries(pickled(state_dict())), central_offset=2**31),
    "zip-directory-huge": zipped(*entries(pickled(state_dict())), central_size=2**31),
    "zip-of-several-disks": zipped(*entries(pickled(state_dict())), disk=3, central_disk=2),
    "zip-offset-outside": zipped(Entry("archive/data.pkl", b"", central={"offset": 2**31})),
    "zip-unknown-method": zipped(
        Entry("archive/data.pkl", b"N.", local={"method": 93}, central={"method": 93})
    ),
    "7z-in-zip": zipped(*entries(SEVEN_ZIP)),
    "zip-in-data-pkl": zipped(*entries(honest_zip())),
    "missing-storage": zipped(*entries(pickled(state_dict()))[:2]),
    "storage-too-short": torch_zip(state_dict(), **{"0": b"1234"}),
    "zip-of-text": zipped(Entry("archive/data.pkl", b"hello")),
    "numpy-zip": zipped(Entry("a.npy", b"\x93NUMPY\x01\x00" + bytes(100))),
    "gzip-of-checkpoint": gzip.compress(honest_zip(), mtime=0),
    "7z": SEVEN_ZIP + bytes(100),
    "xz": b"\xfd7zXZ\0" + bytes(100),
    "rar": b"Rar!\x1a\x07\x01\x00" + bytes(100),
}
TRAVERSAL = ("../../outside", "/etc/outside", "archive/../../outside", "C:\\outside", "..\\outside")


def _traversal(name: str) -> bytes:
    return zipped(*entries(pickled(state_dict())), Entry(name, b"x"))


def _deflated() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in entries(pickled(state_dict())):
            archive.writestr(zipfile.ZipInfo(entry.name), entry.data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def cases() -> Iterator[Case]:
    """Deceptive ones are unsafe, broken ones refused, an odd but honest one loads."""
    for name, (content, advisory) in DECEPTIVE.items():
        yield file_case(name, KIND, content, UNSAFE, advisory)
    yield file_case("other-extension", KIND, other_extension, UNSAFE, "CVE-2025-1889")
    for name, (content, advisory) in UNREADABLE.items():
        yield file_case(name, KIND, content, REFUSED, advisory)
    for index, name in enumerate(TRAVERSAL):
        yield file_case(f"path-traversal-{index}", KIND, _traversal(name), UNSAFE)
    for name, data in (BOMBS | BROKEN).items():
        yield file_case(name, KIND, data, REFUSED)
    yield file_case(
        "7z-of-pickle",
        KIND,
        lambda canary: SEVEN_ZIP + pickled(canary.call),
        REFUSED,
        "nullifAI (ReversingLabs)",
        ".7z",
    )
    for suffix in (".txt", ".bin", ".safetensors", ".onnx", ".npy", ".json"):
        yield file_case(
            f"hostile-named{suffix.replace('.', '-')}",
            KIND,
            lambda canary: zipped(*_hostile(canary)),
            UNSAFE,
            "CVE-2025-10155 GHSA-jgw4-cr84-mqxg",
            suffix,
        )
    yield file_case("deflated-honest", "controls", _deflated(), LOADS)
