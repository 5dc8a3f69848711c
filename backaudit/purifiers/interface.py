"""What a purifier is. It sees a network and clean images: no attack, no trigger, no file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Rule
from backaudit.nets.stages import Stages

Measurements = Mapping[str, Any]
"""What a purifier did and chose, JSON-ready: settings it found itself, epochs it took, neurons it
pruned."""


@dataclass(frozen=True)
class Parts:
    """Clean images as a purifier may use them; those that measure the result it never sees.

    Args:
        fit: to train on.
        validation: to choose by: when to stop, how much to prune. At least one image.
    """

    fit: CleanSet
    validation: CleanSet


class Purifier(Protocol):
    """A frozen dataclass whose fields are the method's hyper-parameters."""

    @property
    def rule(self) -> Rule:
        """What it is called, and what it asks."""
        ...

    @property
    def fewest_images(self) -> int:
        """How many clean images in ``fit`` the method needs; 0 if it needs none."""
        ...

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        """Repair a network in place.

        Args:
            network: images (N, C, H, W) in [0, 1] -> logits (N, K), normalisation inside, in eval
                mode, on its device; a copy that is the purifier's own. It is left in eval mode and
                with as many parameters and buffers, of the same shapes, as it came with.
            parts: clean images.
            seed: of all that is drawn; the same one gives the same network on a CPU.
            stages: where to look for and leave the state of long stages.

        Raises:
            NotApplicableError: if the method does not fit the network, or the images are too few.
            DivergedError: if a loss or a weight became NaN or infinite.
        """
        ...
