"""From a file to named tensors on the CPU; nothing in the file is ever executed."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

from torch import Tensor

from backaudit.core.errors import CheckpointError, UnsafeFileError
from backaudit.core.evidence import FileFinding
from backaudit.core.printable import printable
from backaudit.files.contents import Digested, GlobalUse, Survey
from backaudit.files.limits import USUAL, Limits
from backaudit.files.pickles.modules import Part
from backaudit.files.records import ITEM_SIZES, TensorRecord
from backaudit.files.survey import survey
from backaudit.loading.weights.beside import parsed_metadata
from backaudit.loading.weights.dense import check, outlined
from backaudit.loading.weights.isolated import isolated
from backaudit.loading.weights.tensors import Wanted, distinct, tensors_of
from backaudit.loading.weights.unwrap import Unwrapped, unwrap

FLOAT = ITEM_SIZES["float32"]
# What reading needs besides the tensors themselves, and how slow the slowest disk may be.
WORKING_MEMORY = 256 * 2**20
STARTING_SECONDS = 30.0
SLOWEST = 4 * 2**20


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors, and the file they came from.

    Args:
        path: the file or folder.
        source: the file or folder, whose digest is taken while others read it.
        format: as a survey names it.
        state: name -> dense tensor on the CPU; floating-point ones are float32.
        wrapper: keys that led to the tensors.
        prefix: what was removed from the start of every name.
        metadata: plain values that lay beside the tensors.
        notes: what was done to the tensors or chosen among them, one sentence each.
        program: the graph, of a format that has one; None otherwise.
        module: every part of a network that was pickled whole.
        uses: every global of every pickle in the file.
        findings: about the file itself.
        records: where each tensor lies in the file, and as what, by the names of ``state``.
        others: where else in the file weights lie, dotted.
    """

    path: Path
    source: Digested
    format: str
    state: dict[str, Tensor]
    wrapper: tuple[str, ...]
    prefix: str
    metadata: dict[str, object]
    notes: tuple[str, ...] = ()
    program: object | None = None
    module: tuple[Part, ...] = ()
    uses: tuple[GlobalUse, ...] = ()
    findings: tuple[FileFinding, ...] = ()
    records: Mapping[str, TensorRecord] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Digest of the bytes that were parsed, in hexadecimal; waits for it."""
        return self.source.sha256


def read_checkpoint(path: Path, *, limits: Limits = USUAL) -> Checkpoint:
    """Read the weights of a file or a folder.

    Args:
        path: of any format that a survey tells.
        limits: on the file, and on what its contents may claim.

    Raises:
        UnsafeFileError: if loading it elsewhere would run code, or it deceives.
        CheckpointError: if it cannot be read, is refused, or holds no usable weights.
    """
    surveyed = survey(path, limits)
    with _about(path):
        if surveyed.unsafe:
            raise UnsafeFileError(_unsafe(surveyed), surveyed)
        found = _found(surveyed)
        state = _made(surveyed, found)
        return _checkpoint(surveyed, found, state)


def outline(surveyed: Survey) -> Checkpoint:
    """The same without reading a weight: its tensors have types and shapes, but no numbers.

    Args:
        surveyed: a file, safe or not.

    Raises:
        CheckpointError: if it holds no usable weights.
    """
    with _about(surveyed.path):
        found = _found(surveyed)
        state = {name: outlined(record) for name, record in found.state.items()}
        return _checkpoint(surveyed, found, state)


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Put the path before the text of an error that follows it."""
    try:
        yield
    except UnsafeFileError as error:
        raise UnsafeFileError(f"{printable(path, limit=200)} {error}", error.survey) from error
    except CheckpointError as error:
        raise CheckpointError(f"{printable(path, limit=200)} {error}.") from error


def _unsafe(surveyed: Survey) -> str:
    first, *more = surveyed.unsafe
    rest = f" There are {len(more)} more such findings." if more else ""
    return f"is unsafe and must not be loaded. {first.message}{rest}"


def _found(surveyed: Survey) -> Unwrapped:
    contents = surveyed.contents
    if contents.problem:
        raise CheckpointError(contents.problem)
    told = parsed_metadata(contents.metadata)
    if contents.program is None:
        found = unwrap(contents.saved)
    else:
        # A graph refers to its tensors by the names that they have.
        found = Unwrapped(_records(contents.saved), (), "", {})
    for name, record in found.state.items():
        check(name, record)
    return replace(found, metadata=told | found.metadata)


def _records(saved: object) -> dict[str, TensorRecord]:
    named = saved.items() if isinstance(saved, dict) else ()
    return {name: record for name, record in named if isinstance(record, TensorRecord)}


def _made(surveyed: Survey, found: Unwrapped) -> dict[str, Tensor]:
    """Tensors, made in another process; tied ones stay tied."""
    first = distinct(found.state)
    claimed = sum(_bytes(record) for record in first)
    handed = isolated(
        tensors_of,
        Wanted(surveyed, found),
        memory=2 * (surveyed.size + claimed) + WORKING_MEMORY,
        seconds=STARTING_SECONDS + surveyed.size / SLOWEST,
    )
    return {name: handed.tensors[first[record]] for name, record in found.state.items()}


def _bytes(record: TensorRecord) -> int:
    """That it needs once it is made."""
    size = FLOAT if record.is_floating_point() else ITEM_SIZES[record.dtype]
    return prod(record.shape) * size


def _checkpoint(surveyed: Survey, found: Unwrapped, state: dict[str, Tensor]) -> Checkpoint:
    contents = surveyed.contents
    return Checkpoint(
        path=surveyed.path,
        source=surveyed.source,
        format=surveyed.format,
        state=state,
        wrapper=found.wrapper,
        prefix=found.prefix,
        metadata=found.metadata,
        notes=(*contents.notes, *_notes(found)),
        program=contents.program,
        module=found.module,
        uses=contents.uses,
        findings=contents.findings,
        records=found.state,
        others=found.others,
    )


def _notes(found: Unwrapped) -> Iterator[str]:
    if found.others:
        taken = printable(".".join(found.wrapper) or "the top level")
        rest = printable(", ".join(found.others))
        yield f"The weights under {taken} were taken; the file also has some under {rest}."
    types = {r.dtype for r in found.state.values() if r.is_floating_point()} - {"float32"}
    if types:
        yield f"Weights of type {', '.join(sorted(types))} were converted to float32."
