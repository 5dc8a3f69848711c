"""IBD-PSC: which settings make this network an input-level firewall, and how often is it wrong?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from backaudit import screeners
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Evidence, Rule
from backaudit.core.progress import track
from backaudit.core.rates import wilson
from backaudit.core.screening import conformal_threshold, images_needed
from backaudit.core.suspect import Suspect, as_input, batch_size

KEPT = (
    *("layers", "layer_kind", "k", "depths", "scale", "error_at_k", "breaks"),
    *("collapse_class", "collapse_share"),
)
"""What of the screener's fit is part of the calibration."""


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

    def __post_init__(self) -> None:
        """Refuse settings that the screener refuses, with ValueError."""
        self._screener()

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        """Calibrate on half of the clean images and measure on the other half.

        Raises:
            NotApplicableError: if the network has nothing to amplify, or no image can be held out.
        """
        fit, held_out = clean.split()
        if not len(held_out):
            raise NotApplicableError("no class has two clean images, one to fit and one to test.")
        screener = self._screener()
        found = screener.fit(suspect, fit)
        scores = _scores(screener, suspect, found, held_out)
        flagged = sum(score > self.threshold for score in scores)
        calibration = {key: found[key] for key in KEPT} | {
            "error_threshold": self.error,
            "threshold": self.threshold,
            "clean_images": len(scores),
            "false_flag_rate": flagged / len(scores),
            "false_flag_interval": wilson(flagged / len(scores), len(scores)),
            "threshold_at_5_percent": conformal_threshold(scores, 0.05),
            "threshold_at_1_percent": conformal_threshold(scores, 0.01),
        }
        notes = [*found["notes"], *_too_few(len(scores))]
        measurements: dict[str, Any] = {"calibration": calibration, "notes": notes}
        return Evidence(flagged / len(scores), None, measurements=measurements)

    def _screener(self) -> screeners.IBDPSC:
        return screeners.IBDPSC(
            self.scale, self.larger_scales, self.depths, self.error, self.threshold
        )


def _scores(
    screener: screeners.IBDPSC, suspect: Suspect, found: Mapping[str, Any], clean: CleanSet
) -> list[float]:
    """The score of every image of a clean set."""
    batches = [
        as_input(part, suspect.device) for part in clean.images.split(batch_size(clean.images))
    ]
    scorer = screener.scorer(suspect.network, found, batches[0])
    scored = (scorer(batch).scores for batch in track(batches, "ibd-psc: scoring"))
    return [float(score) for part in scored for score in part]


def _too_few(images: int) -> list[str]:
    needed = images_needed(0.01)
    if images >= needed:
        return []
    return [
        f"{images} held-out clean images are too few to promise a 1 % false-flag rate "
        f"({needed} are needed)."
    ]
