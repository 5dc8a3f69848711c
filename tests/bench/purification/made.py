"""Results as ``bench purify`` writes them, made up."""

from typing import Any

from backaudit.bench.trials.results import Record
from backaudit.nets.metrics import defence_effectiveness

TARGET = 2
CLEAN, TRIGGERED = 1000, 900

Rates = tuple[float, float]


def purified(
    model: str,
    accuracies: Rates,
    success_rates: Rates | None = None,
    *,
    method: str = "ft",
    attack: str = "badnets",
    target: int | None = TARGET,
    seed: int = 0,
    network: str = "resnet20",
    seconds: float = 2.0,
    won: int = 0,
    **more: Any,
) -> Record:
    """A trial on a model, rates before and after; without success rates it is benign."""
    before, after = ({"accuracy": rate} for rate in accuracies)
    der = None
    if success_rates is not None:
        for found, success in zip((before, after), success_rates, strict=True):
            found |= {"attack_success_rate": success, "robust_accuracy": 0.9 - 0.8 * success}
        der = defence_effectiveness(accuracies=accuracies, success_rates=success_rates)
    gained = round(CLEAN * (accuracies[1] - accuracies[0]))
    outcome = {
        "kind": "purified",
        "before": before,
        "after": after,
        "der": der,
        "clean_images": CLEAN,
        "triggered_images": 0 if success_rates is None else TRIGGERED,
        "lost": max(0, -gained) + won,
        "won": max(0, gained) + won,
        "taken": method,
        **more,
    }
    made = _result(model, outcome, method, seed, None if success_rates is None else attack)
    made["truth"] |= {"target_class": None if success_rates is None else target}
    made["truth"] |= {"architecture": network}
    return made | {"seconds": seconds}


def without_network(model: str, method: str = "ft", kind: str = "not-applicable") -> Record:
    outcome = {"kind": kind, "reason": "no such layer."}
    return _result(model, outcome, method, 0, "badnets")


def _result(
    model: str, outcome: dict[str, Any], method: str, seed: int, attack: str | None
) -> Record:
    truth = {
        "dataset": "toys",
        "architecture": "resnet20",
        "options": {"width": 8},
        "attack": attack,
        "target_class": TARGET if attack else None,
    }
    of = {"model": model, "method": method, "seed": seed, "seconds": 0.0}
    return of | {"outcome": outcome, "truth": truth, "device": "cpu", "threads": 1}
