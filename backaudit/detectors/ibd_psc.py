"""IBD-PSC: which settings make this network an input-level firewall, and how often is it wrong?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Evidence, Rule
from backaudit.core.progress import track
from backaudit.core.rates import wilson
from backaudit.core.suspect import Suspect
from backaudit.nets.layers import amplified, execution_order, linear_maps, norm_layers


@dataclass(frozen=True)
class IBDPSC:
    """IBD-PSC: Input-level Backdoor Detection via Parameter-oriented Scaling Consistency.

    Amplifying the last normalisation layers of a backdoored network breaks its clean predictions,
    but triggered images keep theirs. Calibration finds how many layers to amplify (k) on clean
    images (Algorithm 1) and measures on other clean images how often the firewall would be wrong.

    Score: share of held-out clean images flagged at the paper's threshold, in [0, 1]. It measures
        the firewall, it is no evidence about the network, and it never fires.
    Needs: normalisation layers, or convolutions with a bias (batch norm folded into them); about
        100 clean images or more.
    Blind to: says nothing on its own about whether the network is backdoored. As a firewall it is
        weak on low poison rates and on attacks trained against it.
    Differs from the official code: amplifies the last k, ..., k+n-1 layers as the paper writes (the
        code k+1, ..., k+n), in the order in which they run (the code: in which they are
        registered); never more than there are, each depth once; where no depth breaks clean
        accuracy the scale grows, and if none does, that is reported (the code crashes).
    Paper: Hou et al., ICML 2024, https://arxiv.org/abs/2405.09786, Algorithm 1.

    Args:
        scale: factor on each amplified layer's output (omega), above 1.
        larger_scales: tried in turn where no depth breaks clean accuracy at ``scale``.
        depths: number of amplified networks that are averaged (n).
        error: share of clean images that must be misclassified (xi), in (0, 1).
        threshold: an image with a higher score is flagged (T), in (0, 1).
    """

    rule: ClassVar[Rule] = Rule(
        "BA201",
        "ibd-psc",
        "How well could a firewall tell triggered images from clean ones on this network?",
    )

    scale: float = 1.5
    larger_scales: tuple[float, ...] = (2.0, 3.0, 4.0, 6.0, 9.0)
    depths: int = 5
    error: float = 0.6
    threshold: float = 0.9

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        """Calibrate on half of the clean images and measure on the other half.

        Raises:
            NotApplicableError: if the network has nothing to amplify, or no image can be held out.
        """
        fit, held_out = clean.split()
        if not len(held_out):
            raise NotApplicableError("no class has two clean images, one to fit and one to test.")
        layers, kind = _amplifiable(suspect, fit)
        found = self._search(suspect, fit, list(layers.values()))
        chosen = range(found.k, min(found.k + self.depths, len(layers) + 1))
        reversed_layers = list(layers.values())[::-1]
        scores = psc_scores(suspect, held_out.images, reversed_layers, chosen, found.scale)
        flagged = int((scores > self.threshold).sum())
        notes = _notes(self, found, len(layers), len(scores))
        calibration = {
            "layers": list(layers)[::-1],
            "layer_kind": kind,
            "k": found.k,
            "depths": list(chosen),
            "scale": found.scale,
            "error_threshold": self.error,
            "error_at_k": found.error,
            "threshold": self.threshold,
            "clean_images": len(scores),
            "false_flag_rate": flagged / len(scores),
            "false_flag_interval": wilson(flagged / len(scores), len(scores)),
            "threshold_at_5_percent": conformal_threshold(scores, 0.05),
            "threshold_at_1_percent": conformal_threshold(scores, 0.01),
            "collapse_class": found.collapse_class,
            "collapse_share": found.collapse_share,
            "breaks": found.breaks,
        }
        measurements: dict[str, Any] = {"calibration": calibration, "notes": notes}
        return Evidence(flagged / len(scores), None, measurements=measurements)

    def _search(self, suspect: Suspect, fit: CleanSet, layers: Sequence[nn.Module]) -> "_Found":
        """Find the smallest depth k at which clean images are misclassified (Algorithm 1)."""
        deepest_first = layers[::-1]
        found = None
        for scale in (self.scale, *self.larger_scales):
            for k in track(range(1, len(layers) + 1), f"ibd-psc: layer search, scale {scale:g}"):
                found = _amplify(suspect, fit, deepest_first[:k], k, scale, self.error)
                if found.breaks:
                    return found
        if found is None:
            raise NotApplicableError("the network has no layer to amplify.")
        return found


@dataclass(frozen=True)
class _Found:
    k: int
    scale: float
    error: float
    breaks: bool
    collapse_class: int
    collapse_share: float


def _amplify(
    suspect: Suspect, fit: CleanSet, layers: Sequence[nn.Module], k: int, scale: float, limit: float
) -> _Found:
    with amplified(layers, scale):
        predicted = suspect.logits(fit.images).argmax(1)
    error = float((predicted != fit.labels).double().mean())
    histogram = torch.bincount(predicted, minlength=suspect.num_classes).double() / len(fit)
    collapse = int(histogram.argmax())
    return _Found(k, scale, error, error > limit, collapse, float(histogram[collapse]))


@torch.no_grad()
def psc_scores(
    suspect: Suspect,
    images: Tensor,
    deepest_first: Sequence[nn.Module],
    depths: Sequence[int],
    scale: float,
) -> Tensor:
    """Parameter-oriented scaling consistency (N,) of images (N, C, H, W), in [0, 1] (Eq. 4).

    The mean over the amplified networks of the probability each gives to the class that the
    unamplified network predicts.
    """
    predicted = suspect.logits(images).argmax(1, keepdim=True)
    total = torch.zeros(len(images), dtype=torch.float64)
    for depth in track(depths, "ibd-psc: scoring"):
        with amplified(deepest_first[:depth], scale):
            probabilities = suspect.logits(images).double().softmax(1)
        total += probabilities.gather(1, predicted).squeeze(1)
    return total / len(depths)


def conformal_threshold(scores: Tensor, rate: float) -> float | None:
    """Threshold that flags a new clean image with probability at most ``rate``.

    The ceil((n + 1)(1 - rate))-th smallest of n held-out clean scores (split conformal
    prediction); None where n is too small to promise that rate.
    """
    rank = math.ceil((len(scores) + 1) * (1 - rate))
    return None if rank > len(scores) else float(scores.sort().values[rank - 1])


def _amplifiable(suspect: Suspect, clean: CleanSet) -> tuple[dict[str, nn.Module], str]:
    example = clean.images[:1]
    layers = execution_order(suspect.network, norm_layers(suspect.network), example)
    if layers:
        return layers, "normalisation"
    folded = {
        name: layer
        for name, layer in linear_maps(suspect.network).items()
        if not isinstance(layer, nn.Linear) and layer.bias is not None
    }
    layers = execution_order(suspect.network, folded, example)
    if not layers:
        raise NotApplicableError(
            "the network has no normalisation layer, and no convolution with a bias into which "
            "one could have been folded."
        )
    return layers, "convolution"


def _notes(settings: IBDPSC, found: _Found, layers: int, images: int) -> list[str]:
    notes: list[str] = []
    if not found.breaks:
        notes.append(
            f"No depth up to all {layers} layers and no scale up to {found.scale:g} pushes the "
            f"error on clean images above {settings.error:.0%}: the firewall would be weak."
        )
    elif found.scale != settings.scale:
        notes.append(
            f"At scale {settings.scale:g} no depth breaks clean accuracy; at scale {found.scale:g} "
            f"depth {found.k} does."
        )
    needed = math.ceil(1 / 0.01) - 1
    if images < needed:
        notes.append(
            f"{images} held-out clean images are too few to promise a 1 % false-flag rate "
            f"({needed} are needed)."
        )
    return notes
