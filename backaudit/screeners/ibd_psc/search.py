"""How many layers to amplify: the fewest that break clean accuracy (Algorithm 1)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backaudit.core.clean_set import CleanSet
from backaudit.core.progress import track
from backaudit.core.suspect import Suspect
from backaudit.nets.amplification import predictions_by_depth


@dataclass(frozen=True)
class Found:
    """What amplification to one depth does to clean images.

    Args:
        k: number of amplified layers.
        scale: factor on them.
        errors: share of misclassified clean images at the depths 1, ..., k.
        breaks: whether the last of them is above the limit.
        collapse_class: class that is predicted most often at depth k.
        collapse_share: how often, in [0, 1].
    """

    k: int
    scale: float
    errors: tuple[float, ...]
    breaks: bool
    collapse_class: int
    collapse_share: float


@dataclass(frozen=True)
class DepthSearch:
    """Amplifies more and more layers of a suspect until clean images are misclassified.

    Args:
        suspect: left as it is.
        clean: labelled images, or others, which then count as misclassified where the prediction
            is no longer that of the network as it is.
        layers: names, deepest first.
        last: the largest depth to try, at least 1.
        limit: share of clean images that must be misclassified for a depth to count (xi).
    """

    suspect: Suspect
    clean: CleanSet
    layers: Sequence[str]
    last: int
    limit: float

    def run(self, scales: Sequence[float]) -> Found:
        """Try the scales in turn; where none breaks clean accuracy, the last depth of the last."""
        attempts = (self._at(scale) for scale in scales)
        for found in attempts:
            if found.breaks:
                return found
        return found

    def _at(self, scale: float) -> Found:
        """The smallest depth that breaks clean accuracy at one scale, or else the last."""
        predictions = predictions_by_depth(
            self.suspect.network, self.layers, scale, self.clean.images
        )
        plain = next(predictions)
        labels = self.clean.labels if self.clean.labelled else plain
        errors: list[float] = []
        predicted = plain
        for predicted in self._depths(predictions, scale):
            errors.append(float((predicted != labels).double().mean()))
            if errors[-1] > self.limit:
                break
        counts = torch.bincount(predicted, minlength=self.suspect.num_classes)
        collapse = int(counts.argmax())
        return Found(
            k=len(errors),
            scale=scale,
            errors=tuple(errors),
            breaks=errors[-1] > self.limit,
            collapse_class=collapse,
            collapse_share=int(counts[collapse]) / len(predicted),
        )

    def _depths(self, predictions: Iterator[Tensor], scale: float) -> Iterator[Tensor]:
        what = f"ibd-psc: layer search, scale {scale:g}"
        for _ in track(range(1, self.last + 1), what):
            yield next(predictions)
