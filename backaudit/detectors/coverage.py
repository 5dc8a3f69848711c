"""Where no calibration reaches: what sets a suspect or its images apart from benign models."""

import torch
from torch import Tensor

from backaudit.core.clean_set import CleanSet
from backaudit.nets.noise import BATCH_NORM, RENORMALISED

OTHER_LAYERS = "the noise is on other layers than in the benign models that were measured"
FEW_CLASSES = "no benign model of so few classes was measured"
# With fewer, one class draws most mistakes of a benign network too.
FEWEST_CLASSES = 4
# No class can draw so many as long as three quarters of the images are classified as labelled.
MOST_DRAWN = 0.25


def noise_variant(kind: str) -> str:
    """Which calibration a reading under noise of a kind is held against: see ``calibrated``."""
    return RENORMALISED if kind == RENORMALISED else ""


def unlike_noise(kind: str) -> str:
    """A clause that says where the noise of a kind was never measured; empty where it was."""
    return "" if kind in (BATCH_NORM, RENORMALISED) else OTHER_LAYERS


def unlike_answers(predictions: Tensor, shown: CleanSet, num_classes: int) -> str:
    """How a network's answers differ from those of benign models that were measured.

    Of few classes none was measured. Where one class draws images of the others before anything is
    changed, a change that sends them there shows nothing; and what is always answered alike shows
    nothing without labels.

    Args:
        predictions: (N,) int64, of the network as it is.
        shown: the N clean images that shares are measured on.
        num_classes: K.

    Returns:
        A clause for the report; empty if nothing is unusual.
    """
    if num_classes < FEWEST_CLASSES:
        return FEW_CLASSES
    if not shown.labelled and shown.num_present == 1:
        return "there are no labels, and the network gives all clean images the same class"
    drawn = drawn_at_rest(predictions, shown.labels, num_classes)
    share, first = drawn.max(0)
    if share <= MOST_DRAWN:
        return ""
    return (
        f"before anything is changed, the network gives class {int(first)} to {float(share):.0%} "
        "of the clean images of other classes"
    )


def drawn_at_rest(predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Share (K,) of the images of other classes that are predicted as each class.

    Args:
        predictions: (N,) int64.
        labels: (N,) int64.
        num_classes: K.
    """
    wrong = torch.bincount(predictions[predictions != labels], minlength=num_classes)
    others = len(labels) - torch.bincount(labels, minlength=num_classes)
    return wrong / others.clamp(min=1)
