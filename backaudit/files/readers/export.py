"""Archives of ``torch.export.save``: a graph as JSON, and tensors as plain bytes."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.archives.archive import Archive, Member
from backaudit.files.archives.nested_archives import read_nested
from backaudit.files.archives.zip_headers import DAMAGED
from backaudit.files.contents import Contents, FileFinding, GlobalUse
from backaudit.files.graphs.export_check import check
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.readers.export_graph import TYPES, read_program
from backaudit.files.records import Storage, TensorRecord
from backaudit.files.rules import UNSAFE_FILE

OLD_GRAPH, OLD_STATE = "serialized_exported_program.json", "serialized_state_dict.pt"
OLD_CONSTANTS = "serialized_constants.pt"
MODEL = re.compile(r"models/([^/]+)\.json")
STRIDED = 7
COMPILED = (".so", ".dll", ".dylib", ".cubin", ".o", ".cpp")


def read_export(opened: OpenedFile, archive: Archive, limits: Limits) -> Contents:
    """Read an archive of ``torch.export.save`` without torch.

    Args:
        opened: the file.
        archive: its entries.
        limits: on what is read.

    Returns:
        ``saved``: name -> record; ``program``: an ``ExportProgram``.
    """
    nested = [member for member in archive.members.values() if _is_archive(member)]
    walked = [_walked(member, limits) for member in nested]
    contents = Contents(
        uses=tuple(use for uses, _ in walked for use in uses),
        findings=(
            *(finding for _, findings in walked for finding in findings),
            *_compiled(archive),
        ),
    )
    try:
        return _read(contents, archive, limits)
    except CheckpointError as error:
        return replace(contents, problem=str(error))


def _read(contents: Contents, archive: Archive, limits: Limits) -> Contents:
    if OLD_GRAPH in archive.members:
        document = _json(archive, OLD_GRAPH, limits)
        saved = {
            **_pickled_tensors(archive, OLD_STATE, limits),
            **_pickled_tensors(archive, OLD_CONSTANTS, limits),
        }
    else:
        name = _model(archive)
        document = _json(archive, f"models/{name}.json", limits)
        saved = {
            **_tensors(archive, "weights", name, limits),
            **_tensors(archive, "constants", name, limits),
        }
    program = read_program(document)
    checked = check(program.nodes)
    return replace(
        contents,
        saved=saved,
        findings=contents.findings + checked.findings,
        program=program,
        problem=checked.problem,
        metadata={"torch_version": document.get("torch_version", "")},
    )


def _model(archive: Archive) -> str:
    found = [match[1] for name in archive.members if (match := MODEL.fullmatch(name))]
    if len(found) != 1:
        raise CheckpointError(
            f"holds {len(found)} exported programs, and not one: export the network alone"
        )
    return found[0]


def _json(archive: Archive, name: str, limits: Limits) -> Any:
    member = archive.members.get(name)
    if member is None:
        raise CheckpointError(f"lacks its {printable(name)}: {DAMAGED}")
    try:
        document = json.loads(bytes(member.read(limits.header)))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(DAMAGED) from error
    if not isinstance(document, dict):
        raise CheckpointError(DAMAGED)
    return document


def _tensors(archive: Archive, kind: str, model: str, limits: Limits) -> dict[str, TensorRecord]:
    name = f"data/{kind}/{model}_{kind}_config.json"
    if name not in archive.members:
        return {}
    config = _json(archive, name, limits).get("config")
    if not isinstance(config, dict):
        raise CheckpointError(DAMAGED)
    storages: dict[str, Storage] = {}
    return {
        label: _record(archive, f"data/{kind}", entry, storages) for label, entry in config.items()
    }


def _record(
    archive: Archive, folder: str, entry: Any, storages: dict[str, Storage]
) -> TensorRecord:
    try:
        name, meta = f"{folder}/{entry['path_name']}", entry["tensor_meta"]
        if entry["use_pickle"] or meta is None:
            return TensorRecord("uint8", (), (), 0, Storage(None, 0, 0), trouble="pickled")
        member = archive.members.get(name)
        if member is None:
            raise CheckpointError(f"lacks its tensor {printable(name)}: {DAMAGED}")
        return TensorRecord(
            dtype=TYPES.get(meta["dtype"], printable(meta["dtype"])),
            shape=tuple(_fixed(size) for size in meta["sizes"]),
            stride=tuple(_fixed(step) for step in meta["strides"]),
            offset=_fixed(meta["storage_offset"]),
            storage=storages.setdefault(name, member.storage()),
            trouble="" if meta["layout"] == STRIDED else "sparse",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(DAMAGED) from error


def _fixed(size: Mapping[str, Any]) -> int:
    value = size["as_int"]
    if type(value) is not int:
        raise TypeError
    return value


def _pickled_tensors(archive: Archive, name: str, limits: Limits) -> dict[str, TensorRecord]:
    """Named tensors of an archive within, as torch before 2.9 stored them."""
    member = archive.members.get(name)
    if member is None or not member.nbytes:
        return {}
    _, pickled = read_nested(member, limits)
    if pickled.problem:
        raise CheckpointError(pickled.problem)
    found = pickled.value if isinstance(pickled.value, dict) else {}
    return {
        label: value
        for label, value in found.items()
        if isinstance(label, str) and isinstance(value, TensorRecord)
    }


def _is_archive(member: Member) -> bool:
    return member.head(4) == b"PK\x03\x04" and not re.search(r"/weight_\d+$", member.name)


def _walked(
    member: Member, limits: Limits
) -> tuple[tuple[GlobalUse, ...], tuple[FileFinding, ...]]:
    try:
        archive, pickled = read_nested(member, limits)
    except CheckpointError:
        # What is no archive of torch's holds no pickle that torch would read.
        return (), ()
    return pickled.uses, archive.findings


def _compiled(archive: Archive) -> Iterator[FileFinding]:
    names = [name for name in archive.members if name.endswith(COMPILED)]
    if names:
        yield FileFinding(
            UNSAFE_FILE,
            f"The archive holds compiled code ({printable(names[0])}), "
            "which torch runs when it loads the program.",
            unsafe=True,
        )
