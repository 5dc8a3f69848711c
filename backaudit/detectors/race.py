"""A race of the classes: which one is reached first if the same is done for each of them?"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.suspect import Suspect, as_input
from backaudit.detectors.coverage import unlike_answers
from backaudit.detectors.halves import halves
from backaudit.nets.memory import FORWARD_ONLY, images_at_once

FEWEST_CLASSES, MOST_CLASSES = 3, 100

Predict = Callable[[Tensor], Tensor]
"""Images (G * M, C, H, W) in [0, 1], group after group -> logits, each group changed its way."""


@dataclass(frozen=True)
class Race:
    """What every class gets, and how far it came.

    Args:
        images: (B, C, H, W) in [0, 1], on the suspect's device; to search on.
        shown: held-out clean images, to measure on.
        heats: classes (G,) that are searched at once, as many as fit into memory.
        unlike: what no benign model that was measured does on the held-out images; empty if
            nothing.
    """

    images: Tensor
    shown: CleanSet
    heats: tuple[Tensor, ...]
    unlike: str

    def repeated(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Images (G * B, C, H, W) and targets (G * B,) of a heat of ``classes`` (G,)."""
        images = self.images.repeat(len(classes), 1, 1, 1)
        return images, classes.repeat_interleave(len(self.images)).to(images.device)

    @torch.no_grad()
    def reached(self, predict: Predict, classes: Tensor) -> Tensor:
        """Share (G,) of held-out images of other classes that reach each of ``classes`` (G,)."""
        shown = as_input(self.shown.images, self.images.device).repeat(len(classes), 1, 1, 1)
        predicted = predict(shown).argmax(1).cpu().view(len(classes), -1)
        others = self.shown.labels[None] != classes[:, None]
        hit = (predicted == classes[:, None]) & others
        return hit.sum(1) / others.sum(1).clamp(min=1)


def line_up(suspect: Suspect, clean: CleanSet, *, batch_size: int, evaluation_images: int) -> Race:
    """Divide the clean images and the classes.

    Args:
        suspect: whose classes race.
        clean: its clean images.
        batch_size: images for each class's search, at most.
        evaluation_images: held-out images to measure on, at most.

    Raises:
        NotApplicableError: if there are too few clean images, or too few or too many classes.
    """
    fit, held_out = halves(clean)
    classes = suspect.num_classes
    if not FEWEST_CLASSES <= classes <= MOST_CLASSES:
        raise NotApplicableError(
            f"the network has {classes} classes; it compares {FEWEST_CLASSES} to {MOST_CLASSES}."
        )
    generator = torch.Generator().manual_seed(torch.initial_seed())
    at_once = images_at_once(suspect.network, as_input(fit.images[:2], suspect.device))
    size = min(len(held_out), evaluation_images, FORWARD_ONLY * at_once)
    shown = held_out.take(held_out.balanced(size, generator))
    chosen = fit.balanced(min(len(fit), batch_size, at_once), generator)
    heats = torch.arange(classes).split(max(1, at_once // len(chosen)))
    images = as_input(fit.images[chosen], suspect.device)
    predictions = suspect.logits(shown.images).argmax(1)
    return Race(images, shown, tuple(heats), unlike_answers(predictions, shown, classes))
