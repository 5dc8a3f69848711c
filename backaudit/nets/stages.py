"""Where a long method leaves its state, so that an interrupted run goes on where it was."""

from collections.abc import Mapping
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
