"""Tensors that fit no network: which is nearest, and what differs."""

from collections.abc import Sequence
from functools import partial

from backaudit.core.printable import printable
from backaudit.loading.recognition.attempts import Attempt, agreeing, attempts, proposals, shapes_of
from backaudit.loading.recognition.fitting import likely_classes
from backaudit.loading.recognition.hub import unsupported_type
from backaudit.loading.recognition.views import View, views
from backaudit.loading.weights.checkpoint import Checkpoint
from backaudit.nets.architectures import ARCHITECTURES, Candidate
from backaudit.nets.chains.reading import read_chain

HINT = (
    "Name the architecture with --arch, or define the network in a Python file of your own and "
    "give --model-def FILE.py:NAME."
)


def nearest(checkpoint: Checkpoint) -> Attempt | None:
    """The architecture in which most tensors agree, for tensors that fit none."""
    return _nearest(list(views(checkpoint.state)), checkpoint)


def _nearest(seen: Sequence[View], checkpoint: Checkpoint) -> Attempt | None:
    """The candidate in which most tensors agree; of all kinds known here if none is likely."""
    found = [attempt for view in seen for attempt in _likely(view, checkpoint)]
    if not found:
        classes = likely_classes(checkpoint.state) or 10
        usual = [
            Candidate(name, partial(build, num_classes=classes), 32)
            for name, build in ARCHITECTURES.items()
        ]
        found = [attempt for view in seen for attempt in attempts(usual, view.state)]
    best = max(found, key=agreeing, default=None)
    return best if best is not None and best.comparison.agreeing else None


def _likely(view: View, checkpoint: Checkpoint) -> list[Attempt]:
    groups = proposals(shapes_of(view.state), checkpoint.metadata)
    proposed = [candidate for group in groups for candidate in group.candidates]
    return list(attempts(proposed, view.state))


def unrecognised(checkpoint: Checkpoint, seen: Sequence[View]) -> str:
    """Say which candidate is nearest and how it differs.

    Args:
        checkpoint: what was read.
        seen: ways to see its tensors.
    """
    where = f"the architecture of {printable(checkpoint.path)} is not recognised"
    hint = f"{unsupported_type(checkpoint.metadata)} {HINT}{_chain_hint(seen)}".strip()
    best = _nearest(seen, checkpoint)
    if best is None:
        names = ", ".join(printable(name) for name in list(checkpoint.state)[:5])
        return f"{where}: its tensors ({names}, ...) are like no network known here. {hint}"
    comparison = best.comparison
    return (
        f"{where}. Nearest is {best.candidate.name}, in which {comparison.agreeing} of "
        f"{comparison.total} tensors agree; {comparison.describe()}. {hint}"
    )


def _chain_hint(seen: Sequence[View]) -> str:
    """What to do about a plain chain whose sizes do not work out."""
    chain = next((found for view in seen if (found := read_chain(shapes_of(view.state)))), None)
    if chain is None:
        return ""
    return (
        f" The tensors are a plain chain ({chain.describe()}): `backaudit inspect FILE --skeleton "
        "net.py` writes a definition to complete."
    )
