"""Results as ``bench screen`` writes them, made up."""

from collections.abc import Sequence
from typing import Any

import torch

from backaudit.bench.screening.seen import Seen
from backaudit.bench.trials.results import Record

TARGET = 2
THRESHOLD = 0.5


def images(
    scores: Sequence[float], labels: Sequence[int], wanted: int | None, hits: Sequence[bool]
) -> dict[str, str]:
    """Images of which ``hits`` are predicted as wanted, the others as class 9."""
    values = torch.tensor(scores, dtype=torch.float64)
    truth = torch.tensor(labels)
    aim = truth if wanted is None else torch.full_like(truth, wanted)
    predicted = torch.where(torch.tensor(hits), aim, torch.full_like(truth, 9))
    return Seen(values, values > THRESHOLD, predicted, truth, aim).record()


def screened(
    model: str,
    clean: Sequence[float],
    triggered: Sequence[float] | None = None,
    *,
    method: str = "ibd-psc",
    attack: str = "badnets",
    target: int | None = TARGET,
    seed: int = 0,
    network: str = "resnet20",
    clean_hits: Sequence[bool] | None = None,
    hits: Sequence[bool] | None = None,
    **chances: float,
) -> Record:
    """A trial on a model; without triggered images it is benign.

    ``chances`` are the p-values of its false flags.
    """
    flagged = sum(score > THRESHOLD for score in clean)
    outcome: dict[str, Any] = {
        "kind": "screened",
        "calibrating_seconds": 2.0,
        "threshold": THRESHOLD,
        "clean": images(clean, [0] * len(clean), None, clean_hits or [True] * len(clean)),
        "triggered": None,
        "false_flags": {
            "images": len(clean),
            "flagged": flagged,
            "rate": 0.05,
            "interval": [0.01, 0.11],
            "p_value": 0.5,
            **chances,
        },
        "costs": [
            {"batch": 1, "plain": 0.01, "screened": 0.04, "passes": 4.0, "rounds": 7},
            {"batch": 128, "plain": 0.002, "screened": 0.005, "passes": 2.5, "rounds": 7},
        ],
    }
    if triggered is not None:
        aims = hits or [True] * len(triggered)
        outcome["triggered"] = images(triggered, [0] * len(triggered), TARGET, aims)
    return _result(model, outcome, method, seed, network) | {
        "truth": _truth(network, None if triggered is None else attack, target)
    }


def without_scores(model: str, method: str = "ibd-psc", attack: str | None = "badnets") -> Record:
    outcome = {"kind": "not-applicable", "reason": "no such layer."}
    return _result(model, outcome, method, 0, "resnet20") | {
        "truth": _truth("resnet20", attack, TARGET)
    }


def _result(model: str, outcome: dict[str, Any], method: str, seed: int, network: str) -> Record:
    of = {"model": model, "method": method, "seed": seed, "seconds": 2.0}
    return of | {"outcome": outcome, "device": "cpu", "threads": 1, "architecture": network}


def _truth(network: str, attack: str | None, target: int | None) -> dict[str, Any]:
    return {
        "dataset": "toys",
        "architecture": network,
        "options": {"width": 8},
        "attack": attack,
        "target_class": target if attack else None,
    }
