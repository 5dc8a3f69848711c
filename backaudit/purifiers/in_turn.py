"""Purifiers one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Rule
from backaudit.nets.stages import Stages, Within
from backaudit.purifiers.interface import Measurements, Parts, Purifier

JOINED = "+"


@dataclass(frozen=True)
class InTurn:
    """Purifiers one after the other, each on what the one before it left.

    What one method is blind to another may find: ``tsbd+uap-ft`` closes the shortcuts that zeroing
    neurons leaves. A method that does not fit is passed over.

    Score: none; it reports what each method reports.
    Needs: what the methods need.
    Blind to: what all of them are blind to.
    Paper: none.

    Args:
        steps: the methods by name, in their order.
    """

    steps: Mapping[str, Purifier]

    @property
    def rule(self) -> Rule:
        """Named and numbered after its methods."""
        return Rule(
            JOINED.join(step.rule.id for step in self.steps.values()),
            JOINED.join(self.steps),
            "Do these methods, one after the other, repair it?",
        )

    @property
    def fewest_images(self) -> int:
        """Enough for every method."""
        return max(step.fewest_images for step in self.steps.values())

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        """Repair ``network`` in place, by one method and then by the next.

        Raises:
            NotApplicableError: if no method fits; says why for each.
            DivergedError: if a loss or a weight became NaN or infinite.
        """
        done: dict[str, Any] = {}
        reasons: list[str] = []
        for name, step in self.steps.items():
            own = Within(stages, name)
            try:
                done[name] = step.purify(network, parts, seed=seed, stages=own)
            except NotApplicableError as error:
                done[name] = {"not_applicable": str(error)}
                reasons.append(f"{name}: {error}")
        if len(reasons) == len(self.steps):
            raise NotApplicableError(" ".join(reasons))
        return done


def in_turn(purifiers: Sequence[Purifier]) -> Purifier:
    """Purifiers one after the other; one alone stays as it is."""
    if len(purifiers) == 1:
        return purifiers[0]
    return InTurn({each.rule.name: each for each in purifiers})


def steps_of(purifier: Purifier) -> tuple[Purifier, ...]:
    """The purifiers that one runs, one after the other; itself if it is only one."""
    return tuple(purifier.steps.values()) if isinstance(purifier, InTurn) else (purifier,)
