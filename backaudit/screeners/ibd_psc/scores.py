"""How consistent the predictions of amplified networks are: pure tensor operations.

Each score takes logits (1 + G, N, K), plain first, and weights (G,) of the amplified networks, and
gives (N,) float32, higher for images that keep their prediction. Where an amplified network answers
with something other than numbers, the image gets the highest score there is: an attacker must not
be able to slip through by overflow.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

ScoreName = Literal["psc", "margin"]
Score = Callable[[Tensor, Tensor], Tensor]


def consistency(rows: Tensor, weights: Tensor) -> Tensor:
    """Mean probability of the plain prediction, in [0, 1] (Eq. 4)."""
    probabilities = rows[1:].float().softmax(2)
    return _mean(_of_prediction(rows, probabilities), weights).nan_to_num(1.0)


def margin(rows: Tensor, weights: Tensor) -> Tensor:
    """Mean lead of the plain prediction, in standard deviations of the amplified logits.

    Amplification makes all logits grow, and probabilities saturate; the lead relative to the
    spread over classes does neither. It is at most the square root of K.
    """
    logits = rows[1:].float()
    own = _predicted(rows)
    best_other = logits.scatter(2, own, -torch.inf).amax(2)
    spread = logits.std(2).clamp_min(torch.finfo(torch.float32).tiny)
    lead = (_of_prediction(rows, logits) - best_other) / spread
    return _mean(lead, weights).nan_to_num(logits.shape[2] ** 0.5)


SCORES: dict[ScoreName, Score] = {"psc": consistency, "margin": margin}


def _predicted(rows: Tensor) -> Tensor:
    """What the plain network predicts, as indices (G, N, 1)."""
    return rows[0].argmax(1, keepdim=True).expand(len(rows) - 1, -1, 1)


def _of_prediction(rows: Tensor, values: Tensor) -> Tensor:
    """Those (G, N) of the values (G, N, K) that belong to the plain prediction."""
    return values.gather(2, _predicted(rows)).squeeze(2)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean (N,) of values (G, N); exactly 1 where all are."""
    return (values * weights.unsqueeze(1)).sum(0) / weights.sum()
