"""The architecture that the user names, at whatever width the tensors have."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial

from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.loading.recognition.attempts import (
    Attempt,
    agreeing,
    attempts,
    fitting,
    proposals,
    shapes_of,
)
from backaudit.loading.recognition.fitting import likely_classes
from backaudit.loading.recognition.views import View
from backaudit.loading.weights.checkpoint import Checkpoint
from backaudit.nets.architectures import ARCHITECTURES, Candidate
from backaudit.nets.architectures.candidate import Shapes
from backaudit.nets.timm_models import timm, timm_candidate, timm_installed
from backaudit.nets.torchvision_models import torchvision_candidate, torchvision_names

WIDE = re.compile(r"wrn-(\d{1,3})-(\d{1,2})")


def named(checkpoint: Checkpoint, seen: Sequence[View], arch: str) -> tuple[View, Attempt]:
    """The candidate of a name, with whatever the name leaves open read from the shapes.

    Args:
        checkpoint: what was read.
        seen: ways to see its tensors.
        arch: name of an architecture of ours, of torchvision or of timm.

    Returns:
        The view in which it fits, and the candidate.

    Raises:
        CheckpointError: if there is no such architecture, or the tensors do not fit it.
    """
    tried = [
        (view, attempt) for view in seen for attempt in _named_in(view, checkpoint.metadata, arch)
    ]
    if tried:
        view, best = max(tried, key=lambda pair: agreeing(pair[1]))
        if best.comparison.fits:
            return view, best
    name = tried[0][1].candidate.name if tried else printable(arch)
    differs = best.comparison.describe() if tried else "no such network can have their shapes"
    fits = next((found for v in seen if (found := fitting(v.state, checkpoint.metadata)[1])), [])
    instead = f" They fit {fits[0].candidate.name} exactly." if fits else ""
    raise CheckpointError(
        f"the tensors of {printable(checkpoint.path)} do not fit {name}, named by --arch: "
        f"{differs}.{instead} Leave --arch out, or give the right name."
    )


def _named_in(view: View, metadata: Mapping[str, object], arch: str) -> list[Attempt]:
    wanted = arch.strip().lower()
    shapes = shapes_of(view.state)
    proposed = [each for group in proposals(shapes, metadata) for each in group.candidates]
    named = [candidate for candidate in proposed if _is_called(candidate.name, wanted)]
    return list(attempts(named or [_usual(wanted, arch, view.state, shapes)], view.state))


def _is_called(name: str, wanted: str) -> bool:
    short = name.removeprefix("timm ")
    return wanted in (name, short, name.partition("(")[0]) or (
        wanted == "wrn" and name.startswith("wrn-")
    )


def _usual(wanted: str, arch: str, state: Mapping[str, Tensor], shapes: Shapes) -> Candidate:
    """The network of a name at its usual width, to say what differs from it."""
    classes = likely_classes(state) or 10
    wide = WIDE.fullmatch(wanted)
    if wide:
        depth, widen = (int(number) for number in wide.groups())
        build = partial(ARCHITECTURES["wrn"], num_classes=classes, depth=depth, widen=widen)
        return Candidate(wanted, build, 32)
    if wanted in ARCHITECTURES:
        return Candidate(wanted, partial(ARCHITECTURES[wanted], num_classes=classes), 32)
    if wanted in torchvision_names():
        return torchvision_candidate(wanted, shapes)
    if timm_installed() and timm().is_model(wanted.removeprefix("timm ")):
        return timm_candidate(wanted.removeprefix("timm "), shapes)
    known = [*ARCHITECTURES, *torchvision_names(), "wrn-16-1"]
    near = get_close_matches(wanted, known, n=3, cutoff=0.3) or list(ARCHITECTURES)
    raise CheckpointError(
        f"there is no architecture {printable(arch)!r}. The nearest names are {', '.join(near)}. "
        "For any other network give --model-def FILE.py:NAME."
    )
