"""What is this file? Told from its first bytes, never from its name."""

import io
import zipfile

from backaudit.core.errors import CheckpointError

# Pickled as an integer at the start of every file that torch wrote before version 1.6.
LEGACY_MAGIC = bytes.fromhex("6cfc9c46f9206aa85019")
SAVE_STATE_DICT = "save the state dict instead, torch.save(network.state_dict(), 'weights.pt')"
DAMAGED = "is damaged or truncated: copy or download it again"
REENCODED = (
    "was destroyed by a transfer in text mode, which replaced bytes: "
    "copy or download it again in binary mode"
)
REPLACEMENT = b"\xef\xbf\xbd"
HEAD = 4096
LONGEST_HEADER = 100_000_000
SAMPLE = 1 << 16

# First bytes -> what such a file is, and what to do.
OTHERS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself: run `git lfs pull`",
    b"\x89HDF": "is an HDF5 file, as Keras writes; that format is not supported",
    b"\x1f\x8b": "is compressed with gzip: unpack it first",
    b"BZh": "is compressed with bzip2: unpack it first",
    b"\xfd7zXZ": "is compressed with xz: unpack it first",
    b"7z\xbc\xaf": "is a 7-Zip archive: unpack it first",
    b"\x93NUMPY": "is a NumPy array, not a checkpoint",
}


def checkpoint_format(data: bytes) -> str:
    """Tell ``torch-zip``, ``torch-legacy`` or ``safetensors``.

    Raises:
        CheckpointError: says what else the bytes are, and what to do.
    """
    head = data[:HEAD]
    if not data:
        raise CheckpointError("is empty (0 bytes): copy or download it again")
    if head.startswith(b"PK\x03\x04"):
        return _zip_format(data)
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= LONGEST_HEADER:
        return "safetensors"
    if head[:1] == b"\x80":
        if LEGACY_MAGIC not in head[:32]:
            raise CheckpointError(f"is a pickle that torch did not write: {SAVE_STATE_DICT}")
        return "torch-legacy"
    raise CheckpointError(REENCODED if _is_reencoded(data) else _what_else(head))


def _zip_format(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()} | set(
                archive.namelist()
            )
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise CheckpointError(REENCODED if _is_reencoded(data) else DAMAGED) from error
    if "constants.pkl" in names:
        raise CheckpointError(f"is a TorchScript program, not supported yet: {SAVE_STATE_DICT}")
    if "archive_format" in names or "serialized_exported_program.json" in names:
        raise CheckpointError(f"is a torch.export program, not supported yet: {SAVE_STATE_DICT}")
    if "data.pkl" not in names:
        raise CheckpointError(
            "is a zip archive that torch did not write: unpack it, scan a file in it"
        )
    return "torch-zip"


def unpacked_bytes(data: bytes) -> int:
    """How many bytes the members of a zip archive claim to have when unpacked."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return sum(member.file_size for member in archive.infolist())


def _what_else(head: bytes) -> str:
    for start, what in OTHERS.items():
        if head.startswith(start):
            return what
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "is a web page, not a checkpoint: the download got a page about the file instead"
    if head[257:262] == b"ustar":
        return (
            f"is a tar archive (packed, or as torch wrote long ago): unpack it or {SAVE_STATE_DICT}"
        )
    # An ONNX model is a protobuf: a small version number, then a field with a length.
    if head[:1] == b"\x08" and head[1:2] < b"\x20" and head[2:3] in b"\x12\x1a\x22\x2a\x32\x3a\x42":
        return f"is an ONNX model, not supported yet: if you have the network, {SAVE_STATE_DICT}"
    return "is not a checkpoint of a known format (torch or safetensors)"


def _is_reencoded(data: bytes) -> bool:
    """Whether control bytes survive, as in binary data, but many others became a replacement."""
    part = data[:SAMPLE]
    control = sum(byte < 9 for byte in part)
    replaced = part.count(REPLACEMENT) > len(part) // 1000 or part.count(b"?") > len(part) // 10
    return control > len(part) // 100 and replaced
