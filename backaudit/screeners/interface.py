"""What a screener is: a method that scores single images, fitted to one network."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Rule
from backaudit.core.suspect import Suspect

Fit = Mapping[str, Any]
"""What a screener learned from clean images: JSON-ready, with all that scoring needs."""


class Scored(NamedTuple):
    """A batch of images, scored.

    Attributes:
        logits: (N, K) of the unchanged network.
        scores: (N,) float32; higher is more likely triggered.
    """

    logits: Tensor
    scores: Tensor


class Scorer(Protocol):
    """A screener at work on one network."""

    @property
    def how(self) -> str:
        """How the forward passes are shared, for the report."""
        ...

    def __call__(self, images: Tensor) -> Scored:
        """Score images (N, C, H, W) in [0, 1] on the network's device."""
        ...


class Screener(Protocol):
    """A frozen dataclass whose fields are the method's hyper-parameters."""

    rule: ClassVar[Rule]

    @property
    def threshold(self) -> float | None:
        """The paper's threshold: an image with a higher score is flagged; None if it has none."""
        ...

    def fit(self, suspect: Suspect, clean: CleanSet) -> Fit:
        """Learn what scoring needs from clean images; none of them is held out by the method.

        Raises:
            NotApplicableError: if the method does not fit the suspect or the clean set.
        """
        ...

    def scorer(self, network: nn.Module, fit: Fit, example: Tensor) -> Scorer:
        """Prepare to score images with ``network``, which the scorer leaves as it is.

        Args:
            network: images in [0, 1] -> logits, in eval mode.
            fit: what ``fit`` returned for this network, also after a round trip through JSON.
            example: images (N, C, H, W) in [0, 1] on the network's device, N at least 1, whose
                content does not matter.

        Raises:
            NotApplicableError: if ``fit`` does not belong to ``network``.
        """
        ...
