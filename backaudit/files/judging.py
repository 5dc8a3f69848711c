"""What a survey makes of what a reader found: findings, and why a file cannot be used."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.contents import Contents, FileFinding, GlobalUse, Level
from backaudit.files.limits import Limits
from backaudit.files.pickles.values import Inert
from backaudit.files.records import ITEM_SIZES, TensorRecord, out_of_bounds
from backaudit.files.rules import DECEPTIVE_ARCHIVE, UNKNOWN_CODE, UNSAFE_FILE
from backaudit.files.walking import every_tensor, walk

MOST_FINDINGS = 20
# A network computes with four bytes a number, whatever it was saved with.
COMPUTED_BYTES = 4
# Opcodes that call what they are given; NEWOBJ and BUILD only make an object and fill it.
CALLING = {"REDUCE", "INST", "OBJ", "NEWOBJ_EX"}


def judged(contents: Contents, limits: Limits, size: int) -> Contents:
    """Add the findings on names that would be imported, and check every tensor.

    Args:
        contents: as a reader returned them.
        limits: on what they may claim.
        size: of the file, or of all files of a folder, in bytes.
    """
    findings = (
        *_on_uses(contents.uses, Level.DANGEROUS),
        *_on_numbered_names(contents.uses),
        *contents.findings,
        *_on_uses(contents.uses, Level.UNKNOWN),
    )
    problem = (
        contents.problem
        or _trouble_with_tensors(contents.saved, limits, size)
        or _trouble_with_calls(contents)
    )
    return replace(contents, findings=findings, problem=problem)


def _on_uses(uses: Sequence[GlobalUse], level: Level) -> Iterator[FileFinding]:
    concerned = [use for use in uses if use.level is level]
    times = Counter((use.module, use.name) for use in concerned)
    first = {(use.module, use.name): use for use in reversed(concerned)}
    rule = UNSAFE_FILE if level is Level.DANGEROUS else UNKNOWN_CODE
    for name in list(times)[:MOST_FINDINGS]:
        yield FileFinding(rule, _told(first[name], times[name]), level is Level.DANGEROUS)
    if len(times) > MOST_FINDINGS:
        more = f"{len(times) - MOST_FINDINGS} more such names are in the file."
        yield FileFinding(rule, more, level is Level.DANGEROUS)


def _told(use: GlobalUse, times: int) -> str:
    name = printable(f"{use.module}.{use.name}")
    place = f"{use.opcode} at offset {use.offset}"
    member = f" of {printable(use.member)!r}" if use.member else ""
    again = f", {times} times in all" if times > 1 else ""
    called = f", called by {use.calls[0][0]} at offset {use.calls[0][1]}" if use.calls else ""
    verb = "call" if use.calls else "import"
    return (
        f"Loading it would {verb} {name} ({printable(use.why)}): "
        f"named by {place}{member}{called}{again}."
    )


def _on_numbered_names(uses: Sequence[GlobalUse]) -> Iterator[FileFinding]:
    numbered = [use for use in uses if use.opcode.startswith("EXT")]
    if numbered:
        use = numbered[0]
        member = f" of {printable(use.member)!r}" if use.member else ""
        yield FileFinding(
            DECEPTIVE_ARCHIVE,
            f"It names code by a number ({use.opcode} at offset {use.offset}{member}), "
            "which means something else on every machine.",
            unsafe=True,
        )


def _trouble_with_tensors(saved: object, limits: Limits, size: int) -> str:
    claimed = 0
    for name, record in every_tensor(saved):
        if record.trouble:
            continue
        trouble = out_of_bounds(record)
        if trouble:
            return (
                f"has a tensor {printable(name)!r} that {trouble}: "
                "it is damaged, or made to harm whoever reads it"
            )
        claimed += _computed_bytes(record)
    try:
        limits.check_unpacked(claimed, size)
    except CheckpointError as error:
        return str(error)
    return ""


def _computed_bytes(record: TensorRecord) -> int:
    item = ITEM_SIZES[record.dtype]
    return record.numel() * (max(item, COMPUTED_BYTES) if record.is_floating_point() else item)


def _trouble_with_calls(contents: Contents) -> str:
    """Say which unknown function a file would call with what it chose to give it.

    Objects of unknown classes are another matter: whole networks are made of them. So is a class
    called with one plain value, as members of enumerations are saved.
    """
    called = Counter(
        (use.module, use.name)
        for use in contents.uses
        if use.level is Level.UNKNOWN
        for opcode, _ in use.calls
        if opcode in CALLING
    )
    if not called:
        return ""
    made = [value for _, value in walk(contents.saved) if isinstance(value, Inert)]
    # What was made and thrown away again is in the calls only.
    harmless = Counter((value.of.module, value.of.name) for value in made if _is_plain(value))
    for name, times in called.items():
        if harmless[name] < times:
            return (
                f"would call {printable('.'.join(name))}, which is not known to be harmless: "
                "if you trust it, load it where it was saved and save the state dict instead, "
                "torch.save(network.state_dict(), 'weights.pt')"
            )
    return ""


def _is_plain(made: Inert) -> bool:
    if made.keywords:
        return False
    is_class = made.of.name.rpartition(".")[2].lstrip("_")[:1].isupper()
    one_value = len(made.args) == 1 and isinstance(made.args[0], str | int | float)
    return not made.args or (is_class and one_value)
