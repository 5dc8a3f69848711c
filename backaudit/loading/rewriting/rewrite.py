"""A purified network as a file that can stand in for the suspect's.

What is written is a copy of the suspect's file, byte for byte, in which only the bytes of weights
that changed are others: the format, names and their order, types, wrapper, prefix, metadata, what
else was saved, a graph and its code stay as they were. Of a zip archive the checksums of changed
entries are made right; a safetensors or ONNX file says in its metadata where it came from. Weights
that an ONNX graph makes of equal ones get places of their own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from backaudit.core.errors import CheckpointError, OutputError
from backaudit.core.printable import printable
from backaudit.core.suspect import Suspect
from backaudit.loading.load import LoadOptions
from backaudit.loading.rewriting.copying import files_of, write_copy
from backaudit.loading.rewriting.edits import Edits, differing, edits_of
from backaudit.loading.rewriting.folders import Rest, copy_rest, rest_of
from backaudit.loading.rewriting.places import (
    beside,
    put,
    require_file,
    require_folder,
    require_other,
    require_room,
    require_suffix,
)
from backaudit.loading.rewriting.refusals import require_places, shown
from backaudit.loading.rewriting.source import Copy, Source, copy_at, source_of


@dataclass(frozen=True)
class Rewritten:
    """What was written.

    Args:
        path: a file or a folder, as the suspect's is.
        changed: names in the network of the tensors that differ from the suspect's.
        left_out: of a folder, what was not copied: weights in other files, which are not repaired.
        suspect: the network that was read from what was written, prepared as the original was.
        unrepaired: where in the file other weights lie, such as averaged copies, dotted; they are
            what they were.
        untied: names of weights that the original makes of others, and the copy stores.
    """

    path: Path
    changed: tuple[str, ...]
    left_out: tuple[str, ...]
    suspect: Suspect
    unrepaired: tuple[str, ...]
    untied: tuple[str, ...]


def require_rewritable(
    suspect: Suspect, output: Path, options: LoadOptions | None = None, *, force: bool = False
) -> None:
    """Refuse early what ``rewrite`` would refuse after all the work; nothing is written.

    Args:
        suspect: as it was loaded.
        output: the file to write, or the folder if the suspect's is one.
        options: with which it was loaded.
        force: whether an older output may be replaced.

    Raises:
        CheckpointError: if the suspect's file was changed since, or has no place for some weight of
            its network.
        OutputError: if the output is the original, exists, or cannot be written.
    """
    source = source_of(suspect, options or LoadOptions())
    rest = _require_output(source, output, force=force)
    require_places(source, suspect.network)
    size = sum(file.size for file in files_of(source.checkpoint).values())
    if rest is not None:
        size += sum((suspect.path / path).stat().st_size for path in rest.kept)
    require_room(output, size)


def rewrite(
    suspect: Suspect,
    network: nn.Module,
    output: Path,
    options: LoadOptions | None = None,
    *,
    provenance: Mapping[str, str],
    force: bool = False,
) -> Rewritten:
    """Write a changed network's weights into a copy of the suspect's file.

    The copy is read again before it gets its name, and must be the network, bit by bit but for
    the rounding to the file's own types.

    Args:
        suspect: as it was loaded; its file is read again.
        network: a changed copy of the suspect's, with the same names and shapes, on any device.
        output: the file to write, or the folder if the suspect's is one. Files that the suspect's
            file names are written beside it.
        options: with which the suspect was loaded.
        provenance: where the weights come from, for the metadata of safetensors and ONNX files.
        force: whether an older output may be replaced.

    Raises:
        CheckpointError: if the suspect's file was changed since, or has no place for new weights.
        OutputError: if the output is the original, exists, or cannot be written; if a weight is NaN
            or too large for the file's type.
    """
    options = options or LoadOptions()
    source = source_of(suspect, options)
    rest = _require_output(source, output, force=force)
    edits = edits_of(source, suspect.network, network)
    target = output.resolve()
    with beside(target) as folder:
        made = folder / target.name
        place = made if rest is not None else folder
        place.mkdir(exist_ok=True)
        for name in files_of(source.checkpoint):
            _copied(source, name, place / _name(source, name, target), edits, provenance)
        if rest is not None:
            copy_rest(suspect.path, rest, made)
        copy = copy_at(made, source, options)
        _require_same(source, copy, edits)
        for name in _companions(source):
            put(folder / name, target.with_name(name))
        put(made, target)
    left_out = tuple(str(path) for path in rest.left_out) if rest is not None else ()
    repaired = replace(copy.loaded(suspect, options.device), path=output)
    others, untied = source.checkpoint.others, source.untied
    return Rewritten(output, edits.changed, left_out, repaired, others, untied)


def _copied(
    source: Source, name: str, target: Path, edits: Edits, provenance: Mapping[str, str]
) -> None:
    checkpoint = source.checkpoint
    file = files_of(checkpoint)[name]
    # What an ONNX graph keeps beside it are numbers and nothing else.
    numbers = checkpoint.format == "onnx" and name != checkpoint.path.name
    own = [edit for edit in edits.edits if edit.record.storage.file is file]
    write_copy(file, target, own, provenance, None if numbers else checkpoint.metadata)


def _name(source: Source, name: str, target: Path) -> str:
    """What a file of the original is called in the copy."""
    path = source.checkpoint.path
    return target.name if not path.is_dir() and name == path.name else name


def _companions(source: Source) -> Iterator[str]:
    """Files that the suspect's file names, and are written beside the output."""
    path = source.checkpoint.path
    if not path.is_dir():
        yield from (name for name in files_of(source.checkpoint) if name != path.name)


def _require_output(source: Source, output: Path, *, force: bool) -> Rest | None:
    """Refuse an output that must not be written; of a folder, what else lies in it.

    Raises:
        OutputError: says why.
    """
    original, files = source.checkpoint.path, files_of(source.checkpoint)
    if original.is_dir():
        rest = rest_of(original, files)
        names = {*files, *(path.parts[0] for path in rest.kept)}
        require_folder(output, original, names, force=force)
        return rest
    companions = tuple(_companions(source))
    require_other(output, (original, *(file.path for file in files.values())))
    if output.name in companions:
        raise OutputError(f"{printable(output)} is what the original calls its weights: rename it")
    require_suffix(output, original, source.checkpoint.format)
    if companions and output.resolve().parent == original.resolve().parent:
        raise OutputError(
            f"{printable(original)} names weights beside it ({printable(companions[0])}), which "
            "its copy would name too: name an output in another folder"
        )
    for path in (output, *(output.resolve().with_name(name) for name in companions)):
        require_file(path, force=force)
    return None


def _require_same(source: Source, copy: Copy, edits: Edits) -> None:
    """Refuse a copy that is not the network it should be.

    Raises:
        CheckpointError: says in which weights it differs.
    """
    wrong = differing(edits.expected, copy.named_as(source))
    if wrong:
        raise CheckpointError(
            f"{printable(source.checkpoint.path)} cannot be given new weights: it stores those of "
            f"{shown(wrong)} once for several parts of the network, which differ now. Purify the "
            "state dict that it was made from."
        )
