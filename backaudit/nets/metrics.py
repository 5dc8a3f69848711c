"""The field's rates, one definition each."""

import torch
from torch import Tensor


def clean_accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Share of clean images that are predicted as labelled.

    Args:
        predictions: (N,) predicted classes.
        labels: (N,) true classes.
    """
    return _share(predictions == labels)


def attack_success_rate(predictions: Tensor, labels: Tensor, target: int | Tensor) -> float:
    """Share of triggered images whose true class is not the target that are predicted as it.

    Args:
        predictions: (N,) predicted classes of the triggered images.
        labels: (N,) their true classes.
        target: the target class, or (N,) one for each image if it depends on the true class.
    """
    targets = torch.as_tensor(target).to(labels.device).expand_as(labels)
    attacked = labels != targets
    return _share(predictions[attacked] == targets[attacked])


def robust_accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Share of triggered images that are still predicted as their true class.

    Args:
        predictions: (N,) predicted classes of the triggered images.
        labels: (N,) their true classes.
    """
    return _share(predictions == labels)


def defence_effectiveness(
    *, accuracies: tuple[float, float], success_rates: tuple[float, float]
) -> float:
    """Defence effectiveness rating, in [0, 1]; one half if nothing was removed and nothing lost.

    DER = [max(0, drop of the attack success rate) - max(0, drop of the accuracy) + 1] / 2, of which
    neither accuracy that is won nor success that is won counts.

    Paper: Lin et al., Unveiling and Mitigating Backdoor Vulnerabilities based on Unlearning Weight
    Changes and Backdoor Activeness (TSBD), NeurIPS 2024, Table 1.

    Args:
        accuracies: on clean images, before and after.
        success_rates: of the attack, before and after.
    """
    removed = max(0.0, success_rates[0] - success_rates[1])
    lost = max(0.0, accuracies[0] - accuracies[1])
    return (removed - lost + 1) / 2


def auroc(benign: Tensor, backdoored: Tensor) -> float:
    """Chance that a random backdoored score exceeds a random benign one; a tie counts half.

    Args:
        benign: (N,) scores that should be low.
        backdoored: (M,) scores that should be high.
    """
    if not len(benign) or not len(backdoored):
        return float("nan")
    ordered = benign.sort().values
    below = torch.searchsorted(ordered, backdoored, right=False)
    not_above = torch.searchsorted(ordered, backdoored, right=True)
    return float((below + not_above).double().mean()) / (2 * len(benign))


def _share(hits: Tensor) -> float:
    """Mean of a boolean (N,); not a number if there is nothing to count."""
    return float(hits.double().mean()) if hits.numel() else float("nan")
