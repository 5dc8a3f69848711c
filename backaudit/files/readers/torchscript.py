"""TorchScript archives: source text, the module it works on, and its tensors."""

from dataclasses import dataclass, replace

from backaudit.core.errors import CheckpointError
from backaudit.files.archives.archive import Archive
from backaudit.files.archives.zip_headers import DAMAGED
from backaudit.files.contents import Contents, FileFinding, GlobalUse
from backaudit.files.graphs.module_tree import ModuleTree, registered
from backaudit.files.graphs.script_check import MOST_TEXT, check, check_amount, parsed
from backaudit.files.graphs.script_program import ScriptObject, ScriptProgram
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.pickles.machine import run
from backaudit.files.pickles.torch_types import finish, rebuild, stored
from backaudit.files.readers.pickled import walk_rest
from backaudit.files.readers.torch_zip import Storages

MODULE, CONSTANTS, CODE = "data.pkl", "constants.pkl", "code/"
CONSTANT = "constants"


def read_torchscript(opened: OpenedFile, archive: Archive, limits: Limits) -> Contents:
    """Read an archive of ``torch.jit.save`` without torch; none of its code is run.

    Args:
        opened: the file.
        archive: its entries.
        limits: on what is read.

    Returns:
        ``saved``: name -> record, in the order of the module's state dict, then what else the
        program uses; ``program``: a ``ScriptProgram``.

    Raises:
        CheckpointError: if a pickle of it cannot be unpacked.
    """
    pickles = [_unpickled(opened, archive, name, limits) for name in (MODULE, CONSTANTS)]
    contents = Contents(
        uses=tuple(use for each in pickles for use in each.uses),
        findings=tuple(finding for each in pickles for finding in each.findings),
        problem=pickles[0].problem or pickles[1].problem,
    )
    if contents.problem:
        return contents
    try:
        return _program(contents, archive, pickles[0].value, pickles[1].value)
    except CheckpointError as error:
        return replace(contents, problem=str(error))


@dataclass(frozen=True)
class _Read:
    """A pickle of the archive.

    Args:
        value: what was pickled.
        problem: why it cannot be used.
        uses: names it would import.
        findings: about what follows it.
    """

    value: object = ()
    problem: str = ""
    uses: tuple[GlobalUse, ...] = ()
    findings: tuple[FileFinding, ...] = ()


def _unpickled(opened: OpenedFile, archive: Archive, name: str, limits: Limits) -> _Read:
    member = archive.members.get(name)
    if member is None:
        return _Read(problem="" if name == CONSTANTS else f"lacks its {name}: {DAMAGED}")
    data = member.read(limits.unpacked(opened.size))
    pickled = run(
        data,
        member=member.name,
        persistent=stored(Storages(archive, name.removesuffix(".pkl"))),
        rebuild=rebuild,
        finish=finish,
    )
    if pickled.problem:
        return _Read(problem=pickled.problem, uses=pickled.uses)
    uses, findings = walk_rest(data, pickled.end, member.name)
    return _Read(pickled.value, "", pickled.uses + uses, findings)


def _program(contents: Contents, archive: Archive, module: object, constants: object) -> Contents:
    texts = _texts(archive)
    check_amount(texts.values())
    trees = {path: parsed(text) for path, text in texts.items()}
    checked = check(trees)
    contents = replace(contents, findings=contents.findings + checked.findings)
    tree = ModuleTree(registered(trees))
    root = tree.module(module, "", 0)
    values = constants if isinstance(constants, tuple) else ()
    known = tuple(tree.value(each, f"{CONSTANT}.{at}", 0) for at, each in enumerate(values))
    if not isinstance(root, ScriptObject):
        raise CheckpointError(DAMAGED)
    return replace(
        contents,
        saved=tree.in_order(),
        program=ScriptProgram(texts, root, known),
        problem=checked.problem,
        notes=checked.notes,
    )


def _texts(archive: Archive) -> dict[str, str]:
    members = {
        name.removeprefix(CODE): member
        for name, member in archive.members.items()
        if name.startswith(CODE) and name.endswith(".py")
    }
    if sum(member.nbytes for member in members.values()) > MOST_TEXT:
        raise CheckpointError(f"holds more than {MOST_TEXT} bytes of source text")
    try:
        return {
            name: bytes(member.read(MOST_TEXT)).decode("utf-8") for name, member in members.items()
        }
    except UnicodeDecodeError as error:
        raise CheckpointError(DAMAGED) from error
