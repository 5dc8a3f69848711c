"""SCALE-UP: does the prediction stay the same when all pixels are multiplied?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Rule
from backaudit.core.suspect import Suspect, as_input
from backaudit.screeners.interface import Fit, Scored
from backaudit.screeners.passes import logits_of


@dataclass(frozen=True)
class ScaleUp:
    """SCALE-UP: Input-level Backdoor Detection via Analyzing Scaled Prediction Consistency.

    Multiplies all pixels by several factors, clipped to what an image can hold, and counts how
    often the predicted class stays. Triggered images keep theirs more often than clean ones.

    Score: share of the scaled images that are given the class of the original, in [0, 1]
        (data-free); or by how many standard deviations that share exceeds the mean of clean images
        of the predicted class (data-limited). Only labels are used, so scores are few and coarse.
    Needs: as many forward passes per image as there are scales, and one; clean images of each class
        for the data-limited variant, none for the other.
    Blind to: triggers that scaling destroys, such as grey ones that become white; patches that are
        already black or white gain nothing from it. Bright clean images of a confident network
        score high too.
    Differs from the official code: the data-limited variant normalises by the statistics of the
        predicted class, as the paper writes (the code in BackdoorBox: one mean and one standard
        deviation for all classes, of consistency with the label instead of with the prediction). A
        class with fewer than two clean images, or on which all are equally consistent, takes the
        statistics of all classes; if those do not vary either, one scale's share is the unit.
        Flags scores above the threshold (the code: also those equal to it).
    Paper: "SCALE-UP: An Efficient Black-box Input-level Backdoor Detection via Analyzing Scaled
        Prediction Consistency", Guo, Li, Chen, Guo, Sun and Liu, ICLR 2023,
        https://arxiv.org/abs/2302.03251,
        Eq. 2 (data-free), Eq. 3 and 4 (data-limited).

    Args:
        variant: ``data-free`` scores need no clean image; ``data-limited`` ones are normalised.
        scales: factors on the pixels (S), each above 1.
        threshold: an image with a higher score is flagged (T); the official code uses the same for
            both variants.
    """

    rule: ClassVar[Rule] = Rule(
        "BA203",
        "scale-up",
        "Does the prediction stay the same when all pixels of the image are multiplied?",
    )

    variant: Literal["data-free", "data-limited"] = "data-free"
    scales: tuple[float, ...] = (3.0, 5.0, 7.0, 9.0, 11.0)
    threshold: float | None = 0.5

    def fit(self, suspect: Suspect, clean: CleanSet) -> Fit:
        """Measure how consistent clean images of each class are, if the variant needs it.

        Returns:
            Nothing, or ``means`` and ``deviations``, one of each for every class.

        Raises:
            NotApplicableError: if the variant needs clean images and there are fewer than two.
        """
        if self.variant == "data-free":
            return {}
        if len(clean) < 2:
            raise NotApplicableError(
                f"the data-limited variant needs two clean images or more, got {len(clean)}; add "
                "some, or set scale-up.variant=data-free."
            )
        images = as_input(clean.images, suspect.device)
        consistency = scaled_consistency(suspect.network, images, self.scales).scores.double().cpu()
        general = _spread(consistency) or (float(consistency.mean()), 1 / len(self.scales))
        classes = range(suspect.num_classes)
        found = [_spread(consistency[clean.labels == label]) or general for label in classes]
        return {
            "means": [mean for mean, _ in found],
            "deviations": [deviation for _, deviation in found],
        }

    def scorer(self, network: nn.Module, fit: Fit, example: Tensor) -> "ScaleUpScorer":
        """Prepare to score images.

        Raises:
            NotApplicableError: if ``fit`` is of a network with another number of classes.
        """
        if self.variant == "data-free":
            return ScaleUpScorer(network, self.scales)
        classes = logits_of(network, example[:1]).shape[1]
        if {len(fit.get("means", ())), len(fit.get("deviations", ()))} != {classes}:
            raise NotApplicableError(
                f"the calibration of scale-up is not of a network with {classes} classes; "
                "calibrate this network."
            )
        normal = torch.tensor([fit["means"], fit["deviations"]], device=example.device)
        return ScaleUpScorer(network, self.scales, normal.float())


@dataclass(frozen=True)
class ScaleUpScorer:
    """SCALE-UP at work on one network.

    Args:
        network: images in [0, 1] -> logits.
        scales: factors on the pixels.
        normal: mean and standard deviation of each class (2, K); None if scores are not normalised.
    """

    network: nn.Module
    scales: tuple[float, ...]
    normal: Tensor | None = None

    @property
    def how(self) -> str:
        """How the forward passes are shared: they are not, as the pixels differ."""
        return f"plain forward passes: {1 + len(self.scales)} per image"

    def __call__(self, images: Tensor) -> Scored:
        """Score images (N, C, H, W) in [0, 1]."""
        scored = scaled_consistency(self.network, images, self.scales)
        if self.normal is None:
            return scored
        mean, deviation = self.normal[:, scored.logits.argmax(1)]
        return Scored(scored.logits, (scored.scores - mean) / deviation)


def scaled_consistency(network: nn.Module, images: Tensor, scales: Sequence[float]) -> Scored:
    """Share of the scaled copies of each image that keep its predicted class (SPC, Eq. 2)."""
    logits = logits_of(network, images)
    predicted = logits.argmax(1)
    kept = torch.zeros(len(images), device=images.device)
    for scale in scales:
        kept += logits_of(network, (images * scale).clamp(0, 1)).argmax(1) == predicted
    return Scored(logits, kept / len(scales))


def _spread(consistency: Tensor) -> tuple[float, float] | None:
    """Mean and standard deviation (Eq. 3); None if there is no spread to divide by."""
    if len(consistency) < 2 or bool((consistency == consistency[0]).all()):
        return None
    return float(consistency.mean()), float(consistency.std(correction=0))
