"""The calibration of the input-level check, in sentences."""

from collections.abc import Mapping
from typing import Any

from backaudit.core.printable import printable
from backaudit.reports.wording import between, number, percent


def describe(measurements: Mapping[str, Any]) -> list[str]:
    """Say what the calibration found; what was not measured is left out."""
    found = measurements.get("calibration", {})
    lines = [_how(found), _error_rate(found), _thresholds(found)]
    lines += [printable(note, 300) for note in measurements.get("notes", ())]
    return [line for line in lines if line]


def _how(found: Mapping[str, Any]) -> str:
    depths, layers, scale = (found.get(key) for key in ("depths", "layers", "scale"))
    if not (depths and layers and scale and found.get("breaks", True)):
        return ""
    first, last = min(depths), max(depths)
    some = f"{first}" if first == last else f"{first} to {last}"
    kind = found.get("layer_kind", "normalisation")
    return (
        f"Checks single images by amplifying the last {some} of {len(layers)} {kind} layers "
        f"by {scale:g}."
    )


def _error_rate(found: Mapping[str, Any]) -> str:
    rate, count, threshold = (
        found.get(key) for key in ("false_flag_rate", "clean_images", "threshold")
    )
    if rate is None or threshold is None:
        return ""
    interval = found.get("false_flag_interval")
    return (
        f"Threshold {number(threshold)} flags {percent(rate)} of {count} other clean images by "
        f"mistake{f' ({between(*interval)})' if interval else ''}."
    )


def _thresholds(found: Mapping[str, Any]) -> str:
    limits = {share: found.get(f"threshold_at_{share}_percent") for share in (1, 5)}
    usable = [
        f"{_exact(threshold)} for at most {share}%"
        for share, threshold in limits.items()
        if threshold is not None and threshold < 1
    ]
    # Nothing scores above 1: a threshold of 1 keeps its promise by flagging nothing at all.
    vacuous = [f"{share}%" for share, limit in limits.items() if limit is not None and limit >= 1]
    told = [f"Thresholds: {', '.join(usable)}."] if usable else []
    if vacuous:
        told.append(
            f"No threshold keeps mistakes to {' or '.join(vacuous)}: clean images reach the "
            "highest score there is."
        )
    return " ".join(told)


def _exact(threshold: float) -> str:
    """A threshold, with all its digits where fewer would round it up to 1."""
    return f"{threshold:.5g}" if threshold < 0.99999 else repr(threshold)
