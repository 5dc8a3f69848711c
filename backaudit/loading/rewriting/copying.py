"""Copies of the files that a suspect was read from, with new numbers in them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.files.formats import file_format
from backaudit.files.opened import OpenedFile
from backaudit.files.readers.safetensors import LENGTH
from backaudit.files.records import TensorRecord, contiguous_stride
from backaudit.loading.rewriting.checksums import restore
from backaudit.loading.rewriting.edits import BITS, Edit
from backaudit.loading.rewriting.provenance import onnx_entries, safetensors_header
from backaudit.loading.weights.checkpoint import Checkpoint

CHUNK = 2**24
PLAIN = "plain"


def files_of(checkpoint: Checkpoint) -> dict[str, OpenedFile]:
    """Every file that a checkpoint was read from, by its name in their folder."""
    source = checkpoint.source
    opened = getattr(source, "opened", None)
    return dict(opened) if opened is not None else {checkpoint.path.name: _single(source)}


def _single(source: object) -> OpenedFile:
    if not isinstance(source, OpenedFile):
        raise CheckpointError("is no file: name one")
    return source


def write_copy(
    file: OpenedFile,
    target: Path,
    edits: Sequence[Edit],
    provenance: Mapping[str, str],
    known: Mapping[str, object] | None,
) -> None:
    """Write a copy of a file, with some of its numbers replaced, to disk.

    Args:
        file: as it was read.
        target: to write to; an empty file or none.
        edits: of this file.
        provenance: added to its metadata, if its format has any.
        known: metadata that it has already; None for a file that is only numbers.
    """
    kind = PLAIN if known is None else _kind(file)
    with target.open("w+b") as copy:
        shift = _start(copy, file, kind, provenance)
        for edit in edits:
            _apply(copy, edit, shift)
        if kind == "zip" and edits:
            storages = (edit.record.storage for edit in edits)
            spans = {(each.start, each.start + each.nbytes) for each in storages}
            restore(copy, file.data, sorted(spans))
        if kind == "onnx":
            copy.seek(0, os.SEEK_END)
            copy.write(onnx_entries(provenance, known or {}))
        copy.flush()
        os.fsync(copy.fileno())


def _kind(file: OpenedFile) -> str:
    try:
        return file_format(file.data) or PLAIN
    except CheckpointError:
        return PLAIN


def _start(copy: BinaryIO, file: OpenedFile, kind: str, provenance: Mapping[str, str]) -> int:
    """Copy the bytes as they are but for a header that grows; by how much it does."""
    begin = shift = 0
    if kind == "safetensors" and provenance:
        begin = LENGTH + int.from_bytes(file.data[:LENGTH], "little")
        header = safetensors_header(bytes(file.data[LENGTH:begin]), provenance)
        copy.write(header)
        shift = len(header) - begin
    for at in range(begin, file.size, CHUNK):
        copy.write(file.data[at : at + CHUNK])
    return shift


def _apply(copy: BinaryIO, edit: Edit, shift: int) -> None:
    """Read the bytes that a tensor spans, replace what is new, and write them back."""
    record, size = edit.record, edit.values.element_size()
    reach = sum((n - 1) * step for n, step in zip(record.shape, record.stride, strict=True))
    start = record.storage.start + record.offset * size + shift
    copy.seek(start)
    data = bytearray(copy.read((reach + 1) * size))
    bits = BITS[size]
    torch.frombuffer(data, dtype=bits)[_positions(record, edit.elements, reach)] = edit.values.view(
        bits
    )
    copy.seek(start)
    copy.write(data)


def _positions(record: TensorRecord, elements: Tensor, reach: int) -> Tensor:
    """Where elements, counted along the shape, lie among the numbers that a tensor spans."""
    if record.stride == contiguous_stride(record.shape):
        return elements
    every = torch.arange(reach + 1).as_strided(record.shape, record.stride)
    return every.reshape(-1)[elements]
