"""A purifier at work on a copy of a suspect's network."""

import json
import logging
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from torch import nn

from backaudit.core.errors import DivergedError
from backaudit.core.measured import Split
from backaudit.core.seeding import seeded
from backaudit.core.suspect import Suspect
from backaudit.nets.guard import untouched
from backaudit.nets.stages import Stages
from backaudit.purifiers.interface import Parts, Purifier

log = logging.getLogger(__name__)

DONE = "done"


@dataclass(frozen=True)
class Repaired:
    """What a purifier made.

    Args:
        network: in eval mode, on the suspect's device; none of its parameters requires a gradient.
        measurements: what the purifier did and chose, plain JSON.
        seconds: wall-clock time, over all sessions if it was interrupted.
    """

    network: nn.Module
    measurements: Mapping[str, Any]
    seconds: float


def repaired(
    suspect: Suspect, split: Split, purifier: Purifier, stages: Stages, *, seed: int
) -> Repaired:
    """Purify a copy of the network, or take the copy that an earlier run purified.

    Args:
        suspect: left as it was.
        split: the clean images; the test part is not shown to the purifier.
        purifier: with its settings.
        stages: of this purifier.
        seed: of all that it draws.

    Raises:
        NotApplicableError: if the method does not fit the network, or the images are too few.
        DivergedError: if training led to numbers that are not finite.
        SuspectModifiedError: if it changed the suspect itself.
    """
    network = deepcopy(suspect.network)
    earlier = stages.left(DONE)
    if earlier is not None:
        log.info("%s was done before", purifier.rule.name)
        network.load_state_dict(earlier["state"])
        return Repaired(network, json.loads(earlier["measurements"]), earlier["seconds"])
    start = time.perf_counter()
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    parts = Parts(split.fit, split.validation)
    with untouched(suspect.network), seeded(seed):
        measurements = purifier.purify(network, parts, seed=seed, stages=stages)
    network.requires_grad_(False).eval()
    # What was not finite before, such as a mask of minus infinities, may stay so.
    broken = sorted(_not_finite(network) - _not_finite(suspect.network))
    if broken:
        name = purifier.rule.name
        raise DivergedError(f"{name} left NaN or infinite numbers in {broken[0]!r}.")
    plain = json.loads(json.dumps(dict(measurements)))
    seconds = time.perf_counter() - start
    stages.leave(
        DONE,
        {"state": network.state_dict(), "measurements": json.dumps(plain), "seconds": seconds},
    )
    return Repaired(network, plain, seconds)


def _not_finite(network: nn.Module) -> set[str]:
    """Names of parameters and buffers with a NaN or an infinite number."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    return {
        name
        for name, tensor in tensors
        if tensor.is_floating_point() and not bool(tensor.isfinite().all())
    }
