"""Pickles that torch did not write: of NumPy arrays, or of anything else."""

from backaudit.files.contents import Contents, GlobalUse
from backaudit.files.limits import Limits
from backaudit.files.opened import OpenedFile
from backaudit.files.pickles.machine import run
from backaudit.files.pickles.torch_types import finish, rebuild
from backaudit.files.readers.pickled import is_pickle, stacked, walk_rest

NAMED = "names values that lie outside it: give the file that it is a part of"


def read_bare_pickle(opened: OpenedFile, _limits: Limits) -> Contents:
    """Read one pickle, and walk those that follow it."""
    named: list[object] = []
    pickled = run(opened.data, persistent=named.append, rebuild=rebuild, finish=finish)
    if pickled.problem:
        # Another program may know what it refers to, and read on.
        uses = tuple(use for each in stacked(opened.data) for use in each.uses)
        return Contents(uses=uses, problem=pickled.problem)
    uses, findings = walk_rest(opened.data, pickled.end)
    return Contents(
        saved=pickled.value,
        uses=pickled.uses + uses,
        findings=findings,
        problem=NAMED if named else "",
    )


def disguised_uses(data: memoryview) -> tuple[GlobalUse, ...]:
    """What a file of another format would import if it were loaded as a pickle."""
    pickles = list(stacked(data))
    return tuple(use for pickled in pickles for use in pickled.uses) if is_pickle(pickles) else ()
