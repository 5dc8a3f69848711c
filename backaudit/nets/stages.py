"""Where a long method leaves its state, so that an interrupted run goes on where it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

State = Mapping[str, Any]
"""Plain values, tensors, and lists and mappings of them: what ``torch.save`` can keep and its
``weights_only`` reader can read."""


class Stages(Protocol):
    """States by the name of the stage that left them."""

    def left(self, stage: str) -> State | None:
        """What an earlier run left of a stage; None if it left nothing."""
        ...

    def leave(self, stage: str, state: State) -> None:
        """Replace what is left of a stage, whole or not at all."""
        ...


class NoStages:
    """Nothing is left and nothing is found: every run begins at the beginning."""

    def left(self, stage: str) -> State | None:
        """Nothing."""
        return None

    def leave(self, stage: str, state: State) -> None:
        """Forget it."""


@dataclass(frozen=True)
class Within:
    """The stages of one of several methods.

    Args:
        stages: of all.
        name: of the method.
    """

    stages: Stages
    name: str

    def left(self, stage: str) -> State | None:
        """What an earlier run left of this method's stage."""
        return self.stages.left(f"{self.name}.{stage}")

    def leave(self, stage: str, state: State) -> None:
        """Replace what is left of this method's stage."""
        self.stages.leave(f"{self.name}.{stage}", state)
