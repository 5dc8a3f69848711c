"""What is this file? Told from its bytes, never from its name."""

import re
from tarfile import BLOCKSIZE, HeaderError, TarInfo

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.archives.archive import Archive
from backaudit.files.archives.zip_headers import CENTRAL_MARK, DAMAGED, END_MARK, LOCAL_MARK

# Pickled as an integer at the start of every file that torch wrote before version 1.6.
LEGACY_MAGIC = bytes.fromhex("6cfc9c46f9206aa85019")
SAVE_STATE_DICT = "save the state dict instead, torch.save(network.state_dict(), 'weights.pt')"
REENCODED = (
    "was destroyed by a transfer in text mode, which replaced bytes: "
    "copy or download it again in binary mode"
)
REPLACEMENT = b"\xef\xbf\xbd"
HEAD = 4096
LONGEST_HEADER = 100_000_000
SAMPLE = 1 << 16
NEWEST_PROTOCOL = 5
UNPACK = "unpack it and scan the weights in it"

# First bytes -> what such a file is, and what to do.
ARCHIVES = {
    b"\x1f\x8b": "is compressed with gzip: unpack it first",
    b"BZh": "is compressed with bzip2: unpack it first",
    b"\xfd7zXZ": "is compressed with xz: unpack it first",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd: unpack it first",
    b"7z\xbc\xaf": "is a 7-Zip archive: unpack it first",
    b"Rar!\x1a": "is a RAR archive: unpack it first",
}
OTHERS = ARCHIVES | {
    b"version https://git-lfs": "is a Git LFS pointer, not the file itself: run `git lfs pull`",
    b"\x89HDF": "is an HDF5 file, as Keras writes; that format is not supported",
    b"\x93NUMPY": "is a NumPy array, not a checkpoint",
    b"GGUF": "is a GGUF file of a language model; that format is not supported",
    b"PYTORCH1": "is of a trial format of 2018, which torch no longer reads",
    b"\x89PNG": "is a picture, not a checkpoint",
    b"\xff\xd8\xff": "is a picture, not a checkpoint",
    b"%PDF": "is a PDF document, not a checkpoint",
    b"\x7fELF": "is a program or library, not a checkpoint",
    b"MZ": "is a program or library, not a checkpoint",
}
# After the version of an ONNX model, the first field of a protobuf, any of these may follow.
ONNX_FIELDS = b"\x12\x1a\x22\x28\x32\x3a\x42\x72\xa2"

# Names within a zip archive that torch did not write, without their folders -> what it is, and what
# to do.
PACKED = {
    r"MANIFEST\.json": f"is a TorchServe archive (.mar): {UNPACK}",
    r"(model\.weights|weights)\.h5": "is a Keras model; that format is not supported",
    r"saved_model\.pb": "is a TensorFlow model; that format is not supported",
    r"coremldata\.bin|.*\.mlmodel": "is a Core ML model; that format is not supported",
    r".*\.npy": "is a NumPy archive (.npz), not a checkpoint",
    r"(document|workbook|presentation)\.xml": "is an Office document, not a checkpoint",
}


def file_format(data: memoryview) -> str:
    """Tell ``zip``, ``torch-legacy``, ``safetensors``, ``onnx`` or ``pickle`` apart.

    Returns:
        The format; "" for bytes that are none of them by their first bytes, but could be a
        pickle of the oldest protocol, which has no mark.

    Raises:
        CheckpointError: says what else the bytes are, and what to do.
    """
    head = bytes(data[:HEAD])
    if not head:
        raise CheckpointError("is empty (0 bytes): copy or download it again")
    if head.startswith(LOCAL_MARK):
        return "zip"
    if _is_safetensors(head):
        return "safetensors"
    if head[:1] == b"\x80" and head[1:2] <= bytes([NEWEST_PROTOCOL]):
        return "torch-legacy" if LEGACY_MAGIC in head[:32] else "pickle"
    said = known_as(head)
    if said:
        raise CheckpointError(said)
    if head[:1] == b"\x08" and head[1:2] < b"\x20" and head[2:3] in ONNX_FIELDS:
        return "onnx"
    return ""


def is_tar(data: memoryview) -> bool:
    """Whether a file begins as a tar archive does, which torch looks for before any pickle."""
    try:
        TarInfo.frombuf(bytes(data[:BLOCKSIZE]), "utf-8", "surrogateescape")
    except HeaderError:
        return False
    return True


def is_json(data: memoryview) -> bool:
    """Whether a file may be JSON text, as the index of shards is."""
    head = bytes(data[:HEAD])
    return head.lstrip(b" \t\r\n").startswith(b"{") and not _is_safetensors(head)


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER


def known_as(head: bytes) -> str:
    """What a file that holds no checkpoint is, and what to do; "" if it is not known."""
    for start, what in OTHERS.items():
        if head.startswith(start):
            return what
    if head.startswith((CENTRAL_MARK, END_MARK)):
        return DAMAGED
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "is a web page, not a checkpoint: the download got a page about the file instead"
    if head[257:262] == b"ustar":
        return (
            f"is a tar archive (packed, or as torch wrote long ago): unpack it or {SAVE_STATE_DICT}"
        )
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite model; that format is not supported"
    return ""


def unknown_bytes() -> CheckpointError:
    """What to say of bytes that no format explains."""
    return CheckpointError(
        "is not a checkpoint of a known format "
        "(torch, safetensors, TorchScript, torch.export or ONNX)"
    )


def zip_format(archive: Archive) -> str:
    """Tell ``torchscript``, ``torch-export`` or ``torch-zip`` apart, as torch does by the names.

    Raises:
        CheckpointError: says what else the archive is, and what to do.
    """
    names = archive.members.keys()
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return "torchscript"
    if "archive_format" in names or "serialized_exported_program.json" in names:
        return "torch-export"
    if "data.pkl" in names:
        return "torch-zip"
    if "data/0" in names or "version" in names:
        raise CheckpointError(
            "has no 'data.pkl' where torch looks for it: it is damaged, or its pickle was renamed"
        )
    raise CheckpointError(_what_else_is_packed(archive))


def _what_else_is_packed(archive: Archive) -> str:
    names = {member.name.rpartition("/")[2] for member in archive.entries}
    for pattern, what in PACKED.items():
        if any(re.fullmatch(pattern, name) for name in names):
            return what
    held = nested_archive(archive)
    if held:
        return f"is a zip archive that holds another archive, {printable(held)!r}: {UNPACK}"
    return f"is a zip archive that torch did not write: {UNPACK}"


def nested_archive(archive: Archive) -> str:
    """Name of the first entry that is an archive itself; "" without one.

    Stored numbers (``data/0``) are left out: they may begin with any bytes.
    """
    for name, member in archive.members.items():
        if not re.fullmatch(r"(data|constants)/\d+", name) and is_archive(member.head(HEAD)):
            return member.name
    return ""


def is_archive(head: bytes) -> bool:
    """Whether a file that begins so is an archive or a compressed file."""
    return head.startswith((LOCAL_MARK, *ARCHIVES)) or head[257:262] == b"ustar"


def is_reencoded(data: memoryview) -> bool:
    """Whether control bytes survive, as in binary data, but many others became a replacement."""
    part = bytes(data[:SAMPLE])
    control = sum(byte < 9 for byte in part)
    replaced = part.count(REPLACEMENT) > len(part) // 1000 or part.count(b"?") > len(part) // 10
    return control > len(part) // 100 and replaced
