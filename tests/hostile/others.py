"""Files that are no checkpoints, or no files."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hostile.assembler import pickled
from tests.hostile.case import LOADS, REFUSED, Canary, Case, file_case
from tests.hostile.honest import honest_zip, legacy, legacy_state_dict
from tests.hostile.safetensors_files import honest as honest_safetensors

KIND = "not a checkpoint"
POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    b"size 12345\n"
)
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>404</body></html>\n"


def _as_text(data: bytes) -> bytes:
    """What a program does that takes bytes for Latin-1 text and writes UTF-8."""
    return data.decode("latin-1").encode()


def _with_lines(data: bytes) -> bytes:
    """What a transfer in text mode does to line ends."""
    return data.replace(b"\n", b"\r\n")


def _replaced(data: bytes) -> bytes:
    """What reading as UTF-8 and writing again does."""
    return data.decode("utf-8", "replace").encode()


HONEST = {
    "zip": honest_zip(),
    "legacy": legacy(legacy_state_dict()),
    "safetensors": honest_safetensors(),
}
FILES: dict[str, bytes] = {
    "empty": b"",
    "one-byte": b"\x80",
    "zeros": bytes(4096),
    "html-page": PAGE,
    "html-after-space": b"\n\n  " + PAGE.lower(),
    "xml": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "json": b'{"error": "not found"}',
    "lfs-pointer": POINTER,
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(100),
    "pdf": b"%PDF-1.7\n" + bytes(100),
    "elf": b"\x7fELF" + bytes(100),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "numpy": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"
    + b" " * 40,
    "gguf": b"GGUF" + bytes(100),
    "text": b"fc.weight 0.1 0.2\n" * 50,
    "text-like-global": b"cmodule\nname\n" * 20,
    "base64": b"UEsDBAAACAgAAAAAAAAAAAAAAAAAAAAAAAA=" * 20,
    "python": b"import os\nprint('hello')\n",
    "random": bytes((index * 197 + index // 7) % 256 for index in range(5000)),
}
for _kind, _data in HONEST.items():
    FILES[f"{_kind}-as-text"] = _as_text(_data)
    FILES[f"{_kind}-replaced"] = _replaced(_data)
FILES["zip-with-lines"] = _with_lines(HONEST["zip"])
FILES["legacy-with-lines"] = _with_lines(HONEST["legacy"])


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "fifo": lambda path: os.mkfifo(path),
    "socket": _socket,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "null-device": lambda path: path.symlink_to("/dev/null"),
    "random-device": lambda path: path.symlink_to("/dev/urandom"),
    "link-to-itself": lambda path: path.symlink_to(path.name),
    "link-to-nothing": lambda path: path.symlink_to("nothing"),
    "folder": Path.mkdir,
    "missing": lambda _: None,
}


def _special_case(name: str, make: Callable[[Path], object]) -> Case:
    def build(folder: Path, canary: Canary) -> Path:
        path = folder / f"{name}.pt"
        make(path)
        return path

    return Case(f"special-{name}", KIND, build, REFUSED)


def _linked(folder: Path, canary: Canary) -> Path:
    (folder / "blob").write_bytes(HONEST["zip"])
    path = folder / "linked.pt"
    path.symlink_to("blob")
    return path


def cases() -> Iterator[Case]:
    """Each must be refused; a link to an honest file loads."""
    for name, data in FILES.items():
        yield file_case(f"other-{name}", KIND, data, REFUSED)
    for name, make in SPECIAL.items():
        yield _special_case(name, make)
    yield Case("linked-honest", "controls", _linked, LOADS)
    yield file_case(
        "page-before-pickle",
        KIND,
        lambda canary: PAGE + pickled(canary.call),
        REFUSED,
    )
