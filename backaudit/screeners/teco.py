"""TeCo: how differently do corruptions change the prediction?"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.evidence import Rule
from backaudit.core.suspect import Suspect
from backaudit.screeners.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    Corruption,
    Draw,
    Table,
    corruption,
)
from backaudit.screeners.interface import Fit, Scored
from backaudit.screeners.passes import logits_of


@dataclass(frozen=True)
class TeCo:
    """TeCo: Test-time Corruption robustness Consistency evaluation.

    Corrupts the image in fifteen ways and notes for each from which severity on the prediction
    changes. Clean images withstand all of them about equally; a trigger withstands some that its
    attack did not foresee much better than others.

    Score: standard deviation, over the corruptions, of the lowest of five severities at which the
        prediction changes (6 if it never does), from 0 to 2.5.
    Needs: no clean image but to find a threshold; up to 75 forward passes per image and one, fewer
        where predictions change early.
    Blind to: triggers that withstand all corruptions alike, or none; networks trained with the
        corruptions. Where clean images withstand some corruptions better than others, as most do,
        they look triggered.
    Differs from the official code: each corruption starts from the image, as the paper writes (the
        code, also BackdoorBench's, overwrites the image, so that all 75 pile up). Images of a run
        get the same noise, flakes and bends, so that a score does not depend on the batch; frost
        is a drawn texture instead of photographs; pixels are not rounded to 8 bits. An image
        whose prediction has changed is not tried at higher severities. The code only draws a ROC
        curve; calibration finds the threshold here.
    Paper: "Detecting Backdoors During the Inference Stage Based on Corruption Robustness
        Consistency", Liu, Li, Wang, Hu, Ye, Jin, Wu and Xiao, CVPR 2023,
        https://arxiv.org/abs/2303.18191.

    Args:
        strengths: whose severities: ``imagenet-c`` as in the official code, for images of all
            sizes, or ``cifar-c``, weaker ones made for 32 x 32 pixels.
        seed: of noise, flakes and bends.
        threshold: an image with a higher score is flagged, in [0, 2.5]; None for the one that
            calibration finds.
    """

    rule: ClassVar[Rule] = Rule(
        "BA204",
        "teco",
        "Do some corruptions change the prediction much sooner than others?",
    )

    strengths: Table = "imagenet-c"
    seed: int = 0
    threshold: float | None = None

    def fit(self, suspect: Suspect, clean: CleanSet) -> Fit:
        """Return nothing: the method learns nothing from clean images."""
        return {}

    def scorer(self, network: nn.Module, fit: Fit, example: Tensor) -> "TeCoScorer":
        """Prepare the corruptions for images of the example's size."""
        channels, height, width = example.shape[1:]
        # A corruption draws its own numbers, whichever others there are.
        draws = [
            Draw((channels, height, width), 1000 * self.seed + index, example.device)
            for index in range(len(CORRUPTIONS))
        ]
        prepared = tuple(
            tuple(
                corruption(name, severity, draw, self.strengths)
                for severity in range(1, SEVERITIES + 1)
            )
            for name, draw in zip(CORRUPTIONS, draws, strict=True)
        )
        return TeCoScorer(network, prepared)


@dataclass(frozen=True)
class TeCoScorer:
    """TeCo at work on one network.

    Args:
        network: images in [0, 1] -> logits.
        corruptions: for each kind, one for each severity, weakest first.
    """

    network: nn.Module
    corruptions: tuple[tuple[Corruption, ...], ...]

    @property
    def how(self) -> str:
        """How the forward passes are shared: they are not, as the pixels differ."""
        most = 1 + sum(len(kind) for kind in self.corruptions)
        return f"plain forward passes: up to {most} per image, fewer if predictions change early"

    def __call__(self, images: Tensor) -> Scored:
        """Score images (N, C, H, W) in [0, 1]."""
        logits = logits_of(self.network, images)
        predicted = logits.argmax(1)
        endured = [self._changes_at(images, predicted, kind) for kind in self.corruptions]
        return Scored(logits, torch.stack(endured).float().std(0, correction=0))

    def _changes_at(
        self, images: Tensor, predicted: Tensor, severities: tuple[Corruption, ...]
    ) -> Tensor:
        """Lowest severity (N,) at which each prediction changes; one above the last if at none."""
        found = torch.full_like(predicted, len(severities) + 1)
        left = torch.arange(len(images), device=images.device)
        for severity, corrupt in enumerate(severities, start=1):
            if not len(left):
                break
            changed = logits_of(self.network, corrupt(images[left])).argmax(1) != predicted[left]
            found[left[changed]] = severity
            left = left[~changed]
        return found
