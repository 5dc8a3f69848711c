"""What a survey of a file finds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from backaudit.core.evidence import FileFinding as FileFinding
from backaudit.files.opened import OpenedFile


class Level(StrEnum):
    """What it would mean to import and call a global."""

    HARMLESS = "harmless"
    UNKNOWN = "unknown"
    DANGEROUS = "dangerous"


@dataclass(frozen=True)
class GlobalUse:
    """A name that a pickle would import.

    Args:
        module: dotted.
        name: within the module.
        opcode: that names it: ``GLOBAL``, ``STACK_GLOBAL``, ``INST`` or ``EXT1`` ...
        offset: of that opcode in the pickle's bytes.
        member: of an archive, in which the pickle lies; "" for the file itself.
        level: what it means.
        why: in words, for people: "rebuilds a tensor", "runs a shell command".
        calls: opcodes that would call it or set state on what it made, each with its offset,
            such as ``("REDUCE", 41)``.
    """

    module: str
    name: str
    opcode: str
    offset: int
    member: str
    level: Level
    why: str
    calls: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Contents:
    """What a reader took from a file's bytes.

    Args:
        saved: what was saved: dicts, lists, tuples and plain values, with ``TensorRecord`` for
            tensors and ``Inert`` for every object of another class. For formats that hold named
            tensors only: name -> ``TensorRecord``.
        uses: every global of every pickle in the file.
        findings: about the archive's structure; those of ``uses`` are added by the survey.
        metadata: plain values that the format keeps beside the tensors.
        program: the graph, of a format that has one; None otherwise.
        files: every further file that was opened: shards, external data, configuration.
        problem: why the file cannot be used, to follow its path ("is damaged ..."); "" if it can.
        notes: what was ignored or assumed, one sentence each.
    """

    saved: object = None
    uses: tuple[GlobalUse, ...] = ()
    findings: tuple[FileFinding, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    program: object | None = None
    files: tuple[OpenedFile, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()


class Digested(Protocol):
    """Something of which a digest is or will be taken."""

    @property
    def sha256(self) -> str:
        """In hexadecimal."""


@dataclass(frozen=True)
class Survey:
    """A file and what it holds, told without running anything in it.

    Args:
        path: as given.
        format: ``torch-zip``, ``torch-legacy``, ``safetensors``, ``torchscript``,
            ``torch-export``, ``onnx``, ``hub-folder``, ``pickle`` (not written by torch);
            ``unknown`` if none of them.
        size: in bytes, of all files.
        source: the file or the folder, whose digest is taken while others read it.
        contents: what was read.
    """

    path: Path
    format: str
    size: int
    source: Digested
    contents: Contents

    @property
    def sha256(self) -> str:
        """Digest of the file; of a folder, of its files' names and digests; waits for it."""
        return self.source.sha256

    @property
    def unsafe(self) -> tuple[FileFinding, ...]:
        """The findings for which the file must not be used."""
        return tuple(finding for finding in self.contents.findings if finding.unsafe)
