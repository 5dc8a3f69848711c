"""Results as ``bench detect`` writes them, made up."""

from typing import Any

from backaudit.bench.trials.results import Record

TARGET = 3


def result(
    model: str,
    score: float | None,
    attack: str | None = None,
    *,
    method: str = "ban",
    threshold: float = 0.5,
    names: int = TARGET,
    target: int | None = TARGET,
    seed: int = 0,
    network: str = "resnet20",
    **outcome: Any,
) -> Record:
    """A reading of a model; without a score, the method did not apply."""
    found: dict[str, Any] = {"kind": "not-applicable", "reason": "no such layer."}
    if score is not None:
        fires = score >= threshold
        found = {"kind": "evidence", "score": score, "fires": fires, "decides": True}
        found |= {"target_classes": [names], **outcome}
    truth = {
        "dataset": "toys",
        "architecture": network,
        "options": {"width": 8},
        "attack": attack,
        "target_class": target if attack else None,
    }
    of = {"model": model, "method": method, "seed": seed, "seconds": 2.0}
    return of | {"outcome": found, "truth": truth}


def verdict(model: str, claim: str, attack: str | None = None, network: str = "resnet20") -> Record:
    made = result(model, 0.0, attack, method="scan", network=network)
    return made | {"outcome": {"kind": "verdict", "verdict": claim, "target_classes": []}}


BENIGN = [result("b1", 0.1), result("b2", 0.4), result("b3", 0.6), result("b4", 0.2)]
ATTACKED = [
    result("a1", 0.9, "badnets"),
    result("a2", 0.55, "badnets", names=1),
    result("a3", 0.3, "wanet"),
    result("a4", 0.7, "badnets", target=None),
]
