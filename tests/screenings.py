"""Small fakes: images that were screened, and whole screenings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from backaudit.core.screening import Calibration
from backaudit.reports.screening.report import Counts, Screening
from tests.audits import suspect

CALIBRATION = Calibration(
    method="ibd-psc",
    settings={"scale": 1.5},
    fit={"collapse_class": 5, "collapse_share": 0.8},
    threshold=0.9,
    threshold_source="method",
    false_flag_rate=None,
    clean_scores=(0.1, 0.2, 0.95, 0.3),
    clean_predicted=(0, 1, 5, 3),
    notes=("Scales up to 1.5.",),
)
OTHER = replace(CALIBRATION, method="scale-up", fit={}, threshold=0.8, notes=())


@dataclass(frozen=True)
class Image:
    path: str
    score: float = 0.1
    flagged: bool = False
    predicted_class: int = 3
    p_value: float = 0.5
    scores: Mapping[str, float] = field(default_factory=dict)
    flagged_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Test:
    __test__ = False

    images: int = 300
    flagged: int = 12
    expected: float = 3.0
    rate: float = 0.01
    interval: tuple[float, float] = (0.004, 0.02)
    p_value: float = 6e-5
    mix_p_value: float = 6e-5
    basis: str = "4 of 4 held-out clean images"
    untested_images: int = 0
    untested_flagged: int = 0


@dataclass(frozen=True)
class Flags:
    label: int
    images: int
    flagged: int
    clean_images: int = 0
    clean_flagged: int = 0


FLAGGED = Image("in/evil.png", 0.99, True, 5, 0.01, {"ibd-psc": 0.99}, ("ibd-psc",))
PLAIN = Image("in/fine.png", 0.2, scores={"ibd-psc": 0.2})


def screening(images: Sequence[Any] = (FLAGGED, PLAIN), **changes: Any) -> Screening:
    made = Screening(
        suspect=suspect(),
        calibrations=(CALIBRATION,),
        calibrated_by="model.calibration.json",
        hows={"ibd-psc": "graph: one prefix"},
        source="in",
        kind="folder",
        counts=Counts(),
        test=Test(),
        tests={"ibd-psc": Test()},
        per_class=(Flags(3, 200, 2, 3, 0), Flags(5, 100, 10, 1, 1)),
        highest=tuple(images),
        pictures=tuple(
            (image, torch.zeros(3, 4, 4, dtype=torch.uint8)) for image in images if image.flagged
        ),
        seconds=2.0,
        fail_on="flagged",
        exit_code=1,
    )
    return replace(made, **changes)
