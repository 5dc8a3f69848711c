"""What backaudit makes of a file: unsafe, refused or loaded."""

from dataclasses import dataclass
from pathlib import Path

from backaudit.core.errors import BackauditError, UnsafeFileError
from backaudit.files.survey import survey
from tests.hostile.case import LOADS, REFUSED, UNSAFE


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Args:
        result: ``unsafe``, ``refused`` or ``loads``.
        messages: what is said about it.
    """

    result: str
    messages: tuple[str, ...] = ()


def surveyed(path: Path) -> Outcome:
    """What a survey alone says; lets everything escape but the package's own errors."""
    try:
        found = survey(path)
    except BackauditError as error:
        return Outcome(REFUSED, (str(error),))
    messages = tuple(finding.message for finding in found.contents.findings)
    if found.unsafe:
        return Outcome(UNSAFE, messages)
    if found.contents.problem:
        return Outcome(REFUSED, (*messages, found.contents.problem))
    return Outcome(LOADS, (*messages, *found.contents.notes))


def loaded(path: Path) -> Outcome:
    """What loading it ends in: its weights read in another process, its graph made a network."""
    from backaudit.loading.recognition.graphs import graph_of
    from backaudit.loading.weights.checkpoint import read_checkpoint

    try:
        checkpoint = read_checkpoint(path)
        if checkpoint.program is not None:
            graph_of(checkpoint)
    except UnsafeFileError as error:
        return Outcome(UNSAFE, (str(error),))
    except BackauditError as error:
        return Outcome(REFUSED, (str(error),))
    return Outcome(LOADS, checkpoint.notes)
