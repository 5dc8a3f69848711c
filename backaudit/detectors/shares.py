"""Where predictions go: what confusion matrices say about the class that draws them."""

from typing import Any

import torch
from torch import Tensor

SPREAD = 0.3


def shares_of_others(confusions: Tensor) -> Tensor:
    """Share (..., K) of images of other classes that go to each class, balanced over true classes.

    Args:
        confusions: (..., K, K) rows of true classes; a row of zeros is an absent class.
    """
    present = confusions.sum(-1) > 0
    classes = confusions.shape[-1]
    others = present[..., :, None] & ~torch.eye(classes, dtype=torch.bool)
    return (confusions * others).sum(-2) / others.sum(-2).clamp(min=1)


def damage_done(confusions: Tensor) -> Tensor:
    """Share (...) of wrong predictions in confusions (..., K, K), balanced over true classes."""
    present = confusions.sum(-1) > 0
    wrong = (1 - confusions.diagonal(dim1=-2, dim2=-1)) * present
    return wrong.sum(-1) / present.sum(-1)


def at_damage(confusions: Tensor, damage: float) -> Tensor:
    """Confusions (K, K) at the noise that makes so many predictions wrong.

    Images that a network sends to one class say little before it makes mistakes, and how much noise
    that takes depends on the data and on the training. At the same damage networks compare.

    Args:
        confusions: (B, K, K) at rising noise.
        damage: share of wrong predictions; between two budgets confusions are interpolated. Where
            no budget does so much damage, the largest counts.
    """
    done = damage_done(confusions).cummax(0).values
    after = min(int((done < damage).sum()), len(done) - 1)
    before = max(after - 1, 0)
    step = ((damage - done[before]) / (done[after] - done[before]).clamp(min=1e-6)).clamp(0, 1)
    return confusions[before].lerp(confusions[after], step)


def drawn_from_all(confusions: Tensor) -> Tensor:
    """How evenly each class (K,) draws the mistakes of all others; 0 is chance, 1 is all of them.

    The geometric mean, over the other classes, of the share of their mistakes that go to the class.
    A natural confusion draws the classes that look alike; a backdoor draws every class. A class of
    few mistakes counts as if they were spread: evenly drawn images (``SPREAD`` for each image of
    its own) join them.

    Args:
        confusions: (K, K) rows of true classes; a row of zeros is an absent class.
    """
    classes = len(confusions)
    others = ~torch.eye(classes, dtype=torch.bool)
    mistakes = (confusions + SPREAD / classes) * others
    shares = mistakes / mistakes.sum(1, keepdim=True)
    counted = others & (confusions.sum(1) > 0)[:, None]
    logarithms = torch.where(counted, shares.clamp(min=1e-12).log(), 0.0)
    drawn = (logarithms.sum(0) / counted.sum(0).clamp(min=1)).exp() * counted.any(0)
    chance = 1 / max(classes - 1, 1)
    return (drawn - chance) / max(1 - chance, 1e-6)


def leader(confusions: Tensor) -> dict[str, Any]:
    """Class with the largest share pooled over restarts (R, K, K), and how many restarts agree."""
    shares = shares_of_others(confusions)
    pooled = shares.mean(0)
    first = int(pooled.argmax())
    agree = int((shares.argmax(1) == first).sum())
    return {"class": first, "share": float(pooled[first]), "restarts_that_agree": agree}


def source_classes(confusions: Tensor) -> dict[str, Any]:
    """For each true class, the wrong class it goes to most, pooled over restarts (R, K, K).

    An all-to-all backdoor sends every class to a class of its own: many distinct targets, each with
    a large share. No threshold is calibrated for it. A class without images has share 0, and is
    left out of the mean and of the targets.
    """
    pooled = confusions.mean(0)
    present = pooled.sum(1) > 0
    share, target = pooled.fill_diagonal_(0).max(1)
    return {
        "target": target.tolist(),
        "share": share.tolist(),
        "mean_share": float(share[present].mean()),
        "distinct_targets": int(target[share > 0].unique().numel()),
    }
