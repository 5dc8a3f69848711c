"""Joint: does the image stand out among clean ones, by amplification or by overlays?"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Rule
from backaudit.core.progress import track
from backaudit.core.suspect import Suspect, as_input, batch_size
from backaudit.screeners.ibd_psc import IBDPSC, IBDPSCScorer
from backaudit.screeners.interface import Fit, Scored
from backaudit.screeners.strip import STRIP, STRIPScorer
from backaudit.screeners.surprise import Surprise

PSC = IBDPSC(score="margin", threshold=None)
# Of what ibd-psc learned, what reports show; the rest is under its name.
SHOWN = ("collapse_class", "collapse_share", "experimental")


@dataclass(frozen=True)
class Joint:
    """IBD-PSC and STRIP as one: how far an image stands out among clean ones by either.

    Scores each image by the margin of ``ibd-psc`` and by ``strip``, and each of the two scores by
    how rarely clean images, which neither was fitted on, score as high. The rarer one counts, so
    there is one verdict and one rate of mistakes for both.

    Score: the larger of the two surprises, each -log10 of a conformal p-value: 0 where all clean
        images score as high, 1 where one in ten does. Between the scores of clean images it is
        interpolated, and above the highest it goes on with the average slope from their median to
        it. No upper limit.
    Needs: what both need: normalisation layers, or convolutions with a bias; three classes or more;
        as many forward passes per image as there are overlays, and about 1 + n / 2 for n amplified
        networks. Half of the clean images are held out for the threshold, a quarter is ranked
        among and a quarter fitted on: 64 overlays take 256.
    Blind to: what both miss, such as triggers that work only on images of some classes, and attacks
        trained against both. What only one sees may be found less often than by that one alone,
        since the other's clean outliers raise the threshold. Clean images that look triggered to
        either do so here.
    Differs from the official code: neither paper combines its method with another. That the
        smallest of several p-values decides is Bonferroni's way; here calibration finds the
        threshold of the combined score itself, so that its rate holds however the two depend.
    Paper: Hou, Feng, Hua, Luo, Zhang and Li, ICML 2024, https://arxiv.org/abs/2405.09786, and Gao,
        Xu, Wang, Chen, Ranasinghe and Nepal, ACSAC 2019, https://arxiv.org/abs/1902.06531; p-values
        as in Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005.

    Args:
        overlays: clean images that STRIP lays over each image, at least 1; all that it is fitted
            on, if there are fewer.
        seed: of the choice of overlays, and of which clean images are ranked among.
        threshold: an image with a higher score is flagged, at least 0; None for the one that
            calibration finds.
    """

    rule: ClassVar[Rule] = Rule(
        "BA205",
        "joint",
        "Does the image stand out by amplification or by overlays?",
    )

    overlays: int = 64
    seed: int = 0
    threshold: float | None = None

    def __post_init__(self) -> None:
        """Refuse settings out of range, with ValueError."""
        if self.overlays < 1:
            raise ValueError(f"overlays must be at least 1, not {self.overlays}")
        if self.threshold is not None and not self.threshold >= 0:
            raise ValueError(f"the threshold must be at least 0, not {self.threshold}")

    def fit(self, suspect: Suspect, clean: CleanSet) -> Fit:
        """Fit both methods on half of the images of each class, and score the other half.

        Returns:
            ``ibd-psc`` and ``strip``: what each learned; ``references``: under the same names,
            scores of the other half, ascending; and of what ibd-psc learned once more
            ``collapse_class``, ``collapse_share`` and ``experimental``, with its ``notes``.

        Raises:
            NotApplicableError: if ibd-psc does not apply, or no class has two images.
        """
        if suspect.num_classes < 3:
            raise NotApplicableError(
                f"with {suspect.num_classes} classes the margin of ibd-psc is the same for all "
                "images; screen with strip instead."
            )
        to_fit, ranked = clean.split(seed=self.seed)
        if not len(ranked):
            raise NotApplicableError(
                f"of {len(clean)} clean images to fit, no class has two: one to fit on, and one to "
                "rank scores among; give four or more of each class, half of which are held out."
            )
        psc, strip = PSC.fit(suspect, to_fit), self._strip.fit(suspect, to_fit)
        fit = {"ibd-psc": psc, "strip": strip}
        members = self._members(suspect.network, fit, as_input(ranked.images[:2], suspect.device))
        references = _references(members, suspect, ranked)
        notes = [f"ibd-psc: {note}" for note in psc["notes"]]
        shown = {key: psc[key] for key in SHOWN}
        return {**fit, "references": references, **shown, "notes": notes}

    def scorer(self, network: nn.Module, fit: Fit, example: Tensor) -> "JointScorer":
        """Prepare to score images.

        Raises:
            NotApplicableError: if ``fit`` does not belong to ``network``.
        """
        members = self._members(network, fit, example)
        surprises = (
            Surprise.of(fit["references"][name], example.device) for name in ("ibd-psc", "strip")
        )
        return JointScorer(members, *surprises)

    @property
    def _strip(self) -> STRIP:
        return STRIP(overlays=self.overlays, seed=self.seed)

    def _members(self, network: nn.Module, fit: Fit, example: Tensor) -> "Members":
        psc = PSC.scorer(network, fit["ibd-psc"], example)
        return Members(psc, self._strip.scorer(network, fit["strip"], example))


class MemberScores(NamedTuple):
    """A batch of images, scored by both methods.

    Attributes:
        logits: (N, K) of the unchanged network.
        psc: (N,) margins of IBD-PSC.
        strip: (N,) scores of STRIP.
    """

    logits: Tensor
    psc: Tensor
    strip: Tensor


@dataclass(frozen=True)
class Members:
    """Both methods at work on one network; IBD-PSC's plain pass is the only one.

    Args:
        psc: IBD-PSC.
        strip: STRIP.
    """

    psc: IBDPSCScorer
    strip: STRIPScorer

    def __call__(self, images: Tensor) -> MemberScores:
        """Score images (N, C, H, W) in [0, 1]."""
        return MemberScores(*self.psc(images), self.strip.certainty(images))


@dataclass(frozen=True)
class JointScorer:
    """Both methods at work on one network, as one.

    Args:
        members: both methods.
        psc: what is surprising about IBD-PSC's margins.
        strip: what is surprising about STRIP's scores.
    """

    members: Members
    psc: Surprise
    strip: Surprise

    @property
    def how(self) -> str:
        """How the forward passes are shared: those of IBD-PSC are, those of STRIP are not."""
        overlays = len(self.members.strip.overlays)
        return f"{overlays} plain forward passes per image, one an overlay; {self.members.psc.how}"

    def __call__(self, images: Tensor) -> Scored:
        """Score images (N, C, H, W) in [0, 1]."""
        found = self.members(images)
        return Scored(found.logits, self.psc(found.psc).maximum(self.strip(found.strip)))


def _references(members: Members, suspect: Suspect, ranked: CleanSet) -> dict[str, list[float]]:
    """Scores of clean images that neither method was fitted on, ascending."""
    batches = ranked.images.split(batch_size(ranked.images))
    found = [
        members(as_input(images, suspect.device))
        for images in track(batches, "joint: scoring clean images to rank among")
    ]
    psc, strip = (torch.cat([each[index] for each in found]) for index in (1, 2))
    return {"ibd-psc": psc.sort().values.tolist(), "strip": strip.sort().values.tolist()}
