"""IBD-PSC at work on one network."""

from dataclasses import dataclass

import torch
from torch import Tensor

from backaudit.core.suspect import batch_size
from backaudit.nets.amplification import AmplifiedNetwork
from backaudit.screeners.ibd_psc.scores import Score
from backaudit.screeners.interface import Scored


@dataclass(frozen=True)
class IBDPSCScorer:
    """IBD-PSC at work on one network.

    Args:
        amplified: images in [0, 1] -> logits (1 + G, N, K), plain first.
        weights: (G,) how often each amplified network counts.
        score: turns logits and weights into scores (N,).
    """

    amplified: AmplifiedNetwork
    weights: Tensor
    score: Score

    @property
    def how(self) -> str:
        """How the forward passes are shared."""
        return self.amplified.how

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Scored:
        """Score images (N, C, H, W) in [0, 1], so many at a time that memory stays bounded."""
        # Each image joins the batch once more for every amplified network, but late in the network.
        size = max(1, batch_size(images) // 2)
        parts = [self.scored(part) for part in images.split(size)]
        return Scored(*(torch.cat(each) for each in zip(*parts, strict=True)))

    def scored(self, images: Tensor) -> Scored:
        """Score one batch in one pass: pure tensor operations, which can be exported."""
        rows = self.amplified(images)
        return Scored(rows[0], self.score(rows, self.weights))
