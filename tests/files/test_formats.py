from pathlib import Path

import pytest

from tests.files.archives.zips import Entry, archive
from tests.files.samples import STATE, repacked, surveyed, torch_bytes

WHOLE = torch_bytes(STATE)
MANGLED = WHOLE.decode("utf-8", "replace").encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty (0 bytes)"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "run `git lfs pull`"),
        (b"\x89HDF\r\n", "is an HDF5 file, as Keras writes"),
        (b"\x1f\x8b\x08", "is compressed with gzip: unpack it first"),
        (b"BZh9", "is compressed with bzip2: unpack it first"),
        (b"\xfd7zXZ\0", "is compressed with xz: unpack it first"),
        (b"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it first"),
        (b"7z\xbc\xaf\x27\x1c", "is a 7-Zip archive: unpack it first"),
        (b"Rar!\x1a\x07", "is a RAR archive: unpack it first"),
        (b"\x93NUMPY\x01\0", "is a NumPy array, not a checkpoint"),
        (b"GGUF\x03", "is a GGUF file of a language model"),
        (b"PYTORCH1", "of a trial format of 2018"),
        (b"\x89PNG\r\n", "is a picture"),
        (b"\xff\xd8\xff\xe0", "is a picture"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"\x7fELF\x02", "is a program or library"),
        (b"MZ\x90", "is a program or library"),
        (b"....TFL3", "is a TensorFlow Lite model"),
        (b"\n<!DOCTYPE html>", "is a web page, not a checkpoint"),
        (b"\xef\xbb\xbf<html>", "is a web page, not a checkpoint"),
        (b"<?xml version='1.0'?>", "is a web page, not a checkpoint"),
        (bytes(257) + b"ustar", "is a tar archive (packed, or as torch wrote long ago)"),
        (MANGLED, "was destroyed by a transfer in text mode"),
        (bytes(1000), "is not a checkpoint of a known format"),
        (b'{"a": 1}', "has an index without a 'weight_map'"),
        (b"PK\x05\x06" + bytes(18), "is damaged or truncated"),
        (b"PK\x03\x04", "is damaged or truncated"),
        (b"PK", "is not a checkpoint of a known format"),
        (
            archive(Entry(b"MAR-INF/MANIFEST.json", b"{}"), Entry(b"weights.pt", WHOLE)),
            "is a TorchServe archive (.mar): unpack it and scan the weights in it",
        ),
        (archive(Entry(b"model.weights.h5", b"")), "is a Keras model"),
        (archive(Entry(b"m/saved_model.pb", b"")), "is a TensorFlow model"),
        (archive(Entry(b"m.mlpackage/Data/model.mlmodel", b"")), "is a Core ML model"),
        (archive(Entry(b"arr_0.npy", b"\x93NUMPY")), "is a NumPy archive (.npz)"),
        (archive(Entry(b"word/document.xml", b"")), "is an Office document"),
        (archive(Entry(b"a.pt", WHOLE)), "holds another archive, 'a.pt': unpack it and scan"),
        (archive(Entry(b"a.txt", b"words")), "is a zip archive that torch did not write"),
    ],
)
def test_what_else_it_is(tmp_path: Path, data: bytes, words: str) -> None:
    found = surveyed(tmp_path, data)
    assert found.format == "unknown"
    assert words in found.contents.problem


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("archive/constants.pkl", "torchscript"),
        ("archive/code/model.py", "torchscript"),
        ("archive/archive_format", "torch-export"),
        ("archive/serialized_exported_program.json", "torch-export"),
        ("archive/more", "torch-zip"),
    ],
)
def test_archives_of_torch(tmp_path: Path, name: str, expected: str) -> None:
    assert surveyed(tmp_path, repacked(WHOLE, {name: b"pt2"})).format == expected


def test_an_onnx_file(tmp_path: Path) -> None:
    assert surveyed(tmp_path, b"\x08\x07\x12\x07pytorch").format == "onnx"
