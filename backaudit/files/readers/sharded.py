"""Weights in several files, with an index that says which tensor is in which."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.contents import Contents
from backaudit.files.folders import Folder
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.records import TensorRecord

MAP = "weight_map"
Reader = Callable[[OpenedFile, Limits], tuple[str, Contents]]


def read_shards(folder: Folder, index: str, reader: Reader) -> tuple[str, Contents]:
    """Read every file that an index names.

    Args:
        folder: in which the index lies; nothing outside it is opened.
        index: its name.
        reader: of one file.

    Returns:
        The shards' format, and the contents of all of them.

    Raises:
        CheckpointError: if the index, a file or a name in it is wrong.
    """
    placed = _placed(folder.json(index), folder.limits)
    contents: dict[str, Contents] = {}
    formats: dict[str, None] = {}
    for shard in dict.fromkeys(placed.values()):
        kind, found = reader(folder.open(shard), folder.limits)
        formats[kind] = None
        contents[shard] = _labelled(shard, found)
    merged = _merged(contents, placed)
    if len(formats) > 1 and not merged.problem:
        return "unknown", replace(
            merged, problem=f"has shards of several formats: {', '.join(formats)}"
        )
    return next(iter(formats)), merged


def _placed(index: Mapping[str, object], limits: Limits) -> dict[str, str]:
    """Name of a tensor -> file."""
    listed = index.get(MAP)
    if not isinstance(listed, dict) or not listed:
        raise CheckpointError(f"has an index without a {MAP!r} of names")
    if len(listed) > limits.entries:
        raise CheckpointError(f"has {len(listed)} tensors, over the limit of {limits.entries}")
    for name, shard in listed.items():
        if not isinstance(shard, str):
            raise CheckpointError(f"has an index that names no file for {printable(name)!r}")
    return listed


def _labelled(shard: str, found: Contents) -> Contents:
    """Say of every name, finding and problem in which file it is."""
    shown = printable(shard)
    uses = (
        replace(use, member=f"{shard}/{use.member}" if use.member else shard) for use in found.uses
    )
    findings = (
        replace(finding, message=f"{shown}: {finding.message}") for finding in found.findings
    )
    problem = f"has a shard {shown!r} that {found.problem}" if found.problem else ""
    return replace(found, uses=tuple(uses), findings=tuple(findings), problem=problem)


def _merged(contents: Mapping[str, Contents], placed: Mapping[str, str]) -> Contents:
    metadata: dict[str, object] = {}
    for found in contents.values():
        metadata |= found.metadata
    problem = next((found.problem for found in contents.values() if found.problem), "")
    problem = problem or _differing(contents, placed)
    return Contents(
        saved=None if problem else _tensors(contents, placed),
        uses=tuple(use for found in contents.values() for use in found.uses),
        findings=tuple(finding for found in contents.values() for finding in found.findings),
        metadata=metadata,
        problem=problem,
        notes=(f"The weights lie in {len(contents)} files.",),
    )


def _tensors(contents: Mapping[str, Contents], placed: Mapping[str, str]) -> dict[str, object]:
    saved = {shard: found.saved for shard, found in contents.items()}
    return {name: cast(dict[str, object], saved[shard])[name] for name, shard in placed.items()}


def _differing(contents: Mapping[str, Contents], placed: Mapping[str, str]) -> str:
    """Say which shard holds other tensors than those that the index expects in it."""
    expected: dict[str, set[object]] = {}
    for name, shard in placed.items():
        expected.setdefault(shard, set()).add(name)
    for shard, names in expected.items():
        saved = contents[shard].saved
        if not isinstance(saved, dict):
            return f"has a shard {printable(shard)!r} that holds no named tensors"
        tensors = {name for name, value in saved.items() if isinstance(value, TensorRecord)}
        differing = sorted(map(str, (saved.keys() ^ names) | (saved.keys() - tensors)))
        if differing:
            example = printable(differing[0])
            return f"has a shard {printable(shard)!r} that differs from the index in {example!r}"
    return ""
