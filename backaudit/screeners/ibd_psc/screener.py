"""IBD-PSC, as a screener."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Rule
from backaudit.core.suspect import Suspect
from backaudit.nets.amplification import amplify
from backaudit.screeners.ibd_psc.layers import amplifiable
from backaudit.screeners.ibd_psc.scorer import IBDPSCScorer
from backaudit.screeners.ibd_psc.scores import SCORES, ScoreName
from backaudit.screeners.ibd_psc.search import DepthSearch, Found
from backaudit.screeners.interface import Fit


@dataclass(frozen=True)
class IBDPSC:
    """IBD-PSC: Input-level Backdoor Detection via Parameter-oriented Scaling Consistency.

    Amplifies the last normalisation layers of the network so far that its clean predictions break.
    Triggered images keep theirs. Fitting finds how many layers that takes (k) on clean images.

    Score: mean, over n amplified networks, of the probability they give to the class that the
        network predicts, in [0, 1] (``psc``, Eq. 4); or of the lead of that class's logit over the
        next one, in standard deviations of the logits, at most the square root of the number of
        classes (``margin``). The margin does not saturate: on calibration models, where attacks
        took, it finds 66 % of triggered images at 5 % of clean ones flagged, ``psc`` 29 %.
    Needs: normalisation layers, or convolutions with a bias (batch norm folded into them); about
        100 clean images; labels are better than none; for ``margin`` three classes. About 1 + n / 2
        forward passes per image; fewer where k is small.
    Blind to: low poison rates, attacks trained against it, and triggers that send each class to
        another. Clean images of the class that amplified networks collapse to look triggered: on
        narrow networks 7 to 33 % of all exceed the published threshold.
    Differs from the official code: amplifies the last k, ..., k+n-1 layers as the paper writes (the
        code k+1, ..., k+n), in the order in which they run (the code: in which they are
        registered), of all kinds of batch norm (the code: 2-d); never more than there are, each
        depth once; where no depth breaks clean accuracy the scale grows, and if none does, that is
        reported (the code crashes). ``indexing=backdoorbox`` amplifies as many layers as the code,
        searches one layer less far, and counts the deepest network as often as its clamped index
        does. Flags scores above the threshold (the code: also those equal to it). Without labels,
        predictions of the network as it is take their place.
    Paper: Hou, Feng, Hua, Luo, Zhang and Li, ICML 2024, https://arxiv.org/abs/2405.09786,
        Algorithm 1 and Eq. 4.

    Args:
        scale: factor on each amplified layer's output (omega), above 1.
        larger_scales: tried in turn where no depth breaks clean accuracy at ``scale``.
        depths: number of amplified networks that are averaged (n), at least 1.
        error: share of clean images that must be misclassified (xi), in (0, 1).
        threshold: an image with a higher score is flagged (T), in (0, 1); None for the one that
            calibration finds, the only one for ``margin``.
        indexing: ``paper`` amplifies the last k, ..., k+n-1 layers, ``backdoorbox`` one more each.
        score: ``psc`` as published, or ``margin``.
    """

    rule: ClassVar[Rule] = Rule(
        "BA201",
        "ibd-psc",
        "Does the prediction survive when the last layers of the network are amplified?",
    )

    scale: float = 1.5
    larger_scales: tuple[float, ...] = (2.0, 3.0, 4.0, 6.0, 9.0)
    depths: int = 5
    error: float = 0.6
    threshold: float | None = 0.9
    indexing: Literal["paper", "backdoorbox"] = "paper"
    score: ScoreName = "psc"

    def __post_init__(self) -> None:
        """Refuse settings that contradict one another, with ValueError."""
        if self.depths < 1:
            raise ValueError(f"depths must be at least 1, not {self.depths}")
        if self.score == "margin" and self.threshold is not None:
            raise ValueError(
                "the margin has no published threshold; set threshold=none, and calibration finds "
                "one"
            )

    def fit(self, suspect: Suspect, clean: CleanSet) -> Fit:
        """Find how many layers to amplify, and by how much.

        Returns:
            ``layers``: names, deepest first; ``layer_kind``: normalisation or convolution; ``k``,
            ``scale`` and the ``depths`` that are averaged; ``errors`` of clean images at the depths
            1, ..., k, the last also as ``error_at_k``; ``breaks``: whether that is above ``error``;
            ``collapse_class`` and ``collapse_share``: what is predicted most at depth k, and how
            often; ``experimental``: whether the paper's evidence does not reach this network;
            ``notes``: sentences for the user.

        Raises:
            NotApplicableError: if there is nothing to amplify, no clean image, or too few classes.
        """
        self._check(suspect, clean)
        layers = amplifiable(suspect, clean)
        count = len(layers.names)
        last = count if self.indexing == "paper" else max(1, count - 1)
        search = DepthSearch(suspect, clean, layers.names, last, self.error)
        found = search.run((self.scale, *self.larger_scales))
        return {
            "layers": list(layers.names),
            "layer_kind": layers.kind,
            "k": found.k,
            "scale": found.scale,
            "depths": self._depths(found.k, count),
            "errors": list(found.errors),
            "error_at_k": found.errors[-1],
            "breaks": found.breaks,
            "collapse_class": found.collapse_class,
            "collapse_share": found.collapse_share,
            "experimental": layers.experimental,
            "notes": [*self._notes(found, last), *layers.notes],
        }

    def scorer(self, network: nn.Module, fit: Fit, example: Tensor) -> IBDPSCScorer:
        """Prepare to score images in one shared pass.

        Raises:
            NotApplicableError: if a layer of ``fit`` is not in the network.
        """
        known = dict(network.named_modules())
        missing = [name for name in fit["layers"] if name not in known]
        if missing:
            raise NotApplicableError(
                f"the calibration of ibd-psc names a layer {missing[0]!r} that this network lacks; "
                "calibrate this network."
            )
        counts: Counter[int] = Counter(fit["depths"])
        amplified = amplify(network, fit["layers"], list(counts), fit["scale"], example)
        weights = torch.tensor(list(counts.values()), dtype=torch.float32, device=example.device)
        return IBDPSCScorer(amplified, weights, SCORES[self.score])

    def _check(self, suspect: Suspect, clean: CleanSet) -> None:
        if not len(clean):
            raise NotApplicableError("there is no clean image to find the depth with.")
        if self.score == "margin" and suspect.num_classes < 3:
            raise NotApplicableError(
                f"with {suspect.num_classes} classes the margin is the same for all images; set "
                "ibd-psc.score=psc."
            )

    def _depths(self, k: int, count: int) -> list[int]:
        """How many layers each averaged network amplifies, of ``count``."""
        if self.indexing == "backdoorbox":
            return [min(k + 1 + index, count) for index in range(self.depths)]
        return list(range(k, min(k + self.depths, count + 1)))

    def _notes(self, found: Found, last: int) -> list[str]:
        if not found.breaks:
            return [
                f"No depth up to all {last} layers and no scale up to {found.scale:g} pushes the "
                f"error on clean images above {self.error:.0%}: the firewall would be weak."
            ]
        if found.scale != self.scale:
            return [
                f"At scale {self.scale:g} no depth breaks clean accuracy; at scale "
                f"{found.scale:g} depth {found.k} does."
            ]
        return []
