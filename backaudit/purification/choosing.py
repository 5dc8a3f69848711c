"""Which of several purified networks is the best, by what a user without the trigger can know."""

import math
from collections.abc import Sequence

from backaudit.core.evidence import Evidence, Run
from backaudit.core.purification import Candidate, Tried
from backaudit.core.verdict import MODEL_LEVEL
from backaudit.purifiers import ANP, CLP, FT, TSBD, UAPFT, NoiseFT, Purifier
from backaudit.purifiers.in_turn import in_turn

AUTO = "auto"
"""In place of a method's name: choose one."""

AUTOMATIC: tuple[Purifier, ...] = (
    in_turn([TSBD(), UAPFT()]),
    UAPFT(),
    TSBD(label_weight=0.5),
    NoiseFT(),
    CLP(),
    ANP(),
    FT(),
)
"""What ``auto`` tries, in this order: first what leaves least, then what costs less accuracy.

On calibration models ``uap-ft`` after ``tsbd`` left less of backdoors than ``tsbd`` alone, and far
less than ``uap-ft`` alone of one that it does not fit; ``tsbd`` left less than ``noise-ft``. The
order of the others rests on no measurement. The detectors fall silent before a trigger does, so
that they cannot tell which of two results in which they find nothing is the better one.
"""


def best_of(tried: Sequence[Tried]) -> int | None:
    """Position of the best; None if no purifier made a network.

    First those that keep the accuracy on the images to choose by and in which the detectors find
    nothing; then those that keep the accuracy; among equals the one with the faintest evidence; at
    a tie the more accurate; then the one tried first.
    """
    made = [
        (_rank(each.outcome), index)
        for index, each in enumerate(tried)
        if isinstance(each.outcome, Candidate)
    ]
    return min(made)[1] if made else None


def evidence(runs: Sequence[Run]) -> float:
    """The strongest reading of a model-level detector, as a multiple of its threshold.

    Infinite if none gave a reading: what nobody looked at is no better than what was found.
    """
    ratios = [
        run.outcome.score / run.outcome.threshold
        for run in runs
        if run.rule.id.startswith(MODEL_LEVEL)
        and isinstance(run.outcome, Evidence)
        and run.outcome.threshold
        and math.isfinite(run.outcome.score)
    ]
    return max(ratios, default=math.inf)


def _rank(candidate: Candidate) -> tuple[bool, bool, float, float]:
    strength = evidence(candidate.runs)
    # In tenths: finer differences between readings of two networks are chance.
    level = round(strength, 1) if math.isfinite(strength) else strength
    return (
        not candidate.good_enough,
        not candidate.keeps_accuracy,
        level,
        -candidate.validation.rate,
    )
