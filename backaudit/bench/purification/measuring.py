"""A network before and after, on test images that no purifier was given."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from backaudit.bench.trials.traffic import Shown, Traffic
from backaudit.core.suspect import Suspect
from backaudit.nets.metrics import (
    attack_success_rate,
    clean_accuracy,
    defence_effectiveness,
    robust_accuracy,
)


@dataclass(frozen=True)
class Answers:
    """What a network predicts.

    Args:
        clean: (N,) classes of the clean images.
        triggered: (M,) classes of the triggered ones; None for a benign model.
    """

    clean: Tensor
    triggered: Tensor | None


def answers(suspect: Suspect, traffic: Traffic) -> Answers:
    """Show a network the clean and the triggered images."""
    triggered = traffic.triggered
    return Answers(
        _predicted(suspect, traffic.clean),
        None if triggered is None else _predicted(suspect, triggered),
    )


def _predicted(suspect: Suspect, shown: Shown) -> Tensor:
    return suspect.logits(shown.shaped(suspect.image_shape)).argmax(1)


def comparison(before: Answers, after: Answers, traffic: Traffic) -> dict[str, Any]:
    """Both in figures, for the result of a trial.

    Returns:
        ``before`` and ``after``: accuracy and, of a backdoored model, attack success rate and
        robust accuracy, each in [0, 1]; ``der`` in [0, 1], None for a benign model; how many clean
        and triggered images were shown, and how many clean ones were right only ``before``
        (``lost``) and only ``after`` (``won``).
    """
    labels = traffic.clean.labels
    right, still_right = before.clean == labels, after.clean == labels
    rates = [_rates(each, traffic) for each in (before, after)]
    attacked = traffic.triggered
    return {
        "before": rates[0],
        "after": rates[1],
        "der": _der(*rates) if "attack_success_rate" in rates[0] else None,
        "clean_images": len(labels),
        "triggered_images": 0 if attacked is None else len(attacked.labels),
        "lost": int((right & ~still_right).sum()),
        "won": int((still_right & ~right).sum()),
    }


def _rates(found: Answers, traffic: Traffic) -> dict[str, float]:
    rates = {"accuracy": clean_accuracy(found.clean, traffic.clean.labels)}
    attacked = traffic.triggered
    # An attacker has no victim where all images are of the target class.
    if attacked is not None and found.triggered is not None and len(attacked.labels):
        rates["attack_success_rate"] = attack_success_rate(
            found.triggered, attacked.labels, attacked.wanted
        )
        rates["robust_accuracy"] = robust_accuracy(found.triggered, attacked.labels)
    return rates


def _der(before: dict[str, float], after: dict[str, float]) -> float:
    return defence_effectiveness(
        accuracies=(before["accuracy"], after["accuracy"]),
        success_rates=(before["attack_success_rate"], after["attack_success_rate"]),
    )
