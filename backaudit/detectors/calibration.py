"""The shipped thresholds, and where each came from."""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from backaudit.core.evidence import Evidence, Rule


def calibrated(
    rule: Rule,
    score: float,
    *,
    target_classes: tuple[int, ...],
    variant: str = "",
    unlike: str = "",
    measurements: Mapping[str, Any],
) -> Evidence:
    """Hold a score against the shipped calibration of its rule.

    Args:
        rule: whose calibration.
        score: the reading.
        target_classes: suspected target classes, most suspected first.
        variant: which calibration of the rule, where it has several; empty for the usual one.
        unlike: what sets the reading apart from those of the benign models, as a clause; empty if
            nothing does. Such a reading is experimental, and held against no threshold.
        measurements: everything else that was measured.
    """
    if unlike:
        return Evidence(
            score=score,
            threshold=None,
            target_classes=target_classes,
            provenance=f"none, {unlike}.",
            experimental=True,
            measurements=measurements,
        )
    shipped = load_calibration()[calibration_name(rule.name, variant)]
    benign = shipped["benign_scores"]
    # A score that is not a number must not pass for a rare one.
    as_high = len(benign) - sum(other < score for other in benign)
    return Evidence(
        score=score,
        threshold=shipped["threshold"],
        strong=shipped["strong"],
        lean=shipped["lean"],
        target_classes=target_classes,
        provenance=shipped["provenance"],
        p_value=(as_high + 1) / (len(benign) + 1),
        measurements=measurements,
    )


def calibration_name(rule: str, variant: str = "") -> str:
    """Name of a calibration: the rule's own, and behind a colon which one it is of several."""
    return f"{rule}:{variant}" if variant else rule


def calibrations_of(rule: str) -> dict[str, Any]:
    """Every calibration of the rule of a name, by name; empty if it has none."""
    every = load_calibration()
    return {name: each for name, each in every.items() if name.partition(":")[0] == rule}


@cache
def load_calibration() -> dict[str, Any]:
    """Read the calibration file that ships inside the package."""
    text = resources.files("backaudit.detectors").joinpath("calibration.json").read_text("utf-8")
    record: dict[str, Any] = json.loads(text)
    return record
