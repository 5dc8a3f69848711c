"""What the purifiers that fine-tune have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from backaudit.core.errors import NotApplicableError
from backaudit.core.printable import counted
from backaudit.core.progress import under
from backaudit.core.seeding import seeded
from backaudit.nets.epochs import Epochs
from backaudit.nets.recalibration import recalibrate
from backaudit.nets.stages import Stages
from backaudit.nets.training import Along, Objective, Training, train
from backaudit.nets.training_state import copied
from backaudit.nets.watching import KeepBest, KeepMean, accuracy_on
from backaudit.purifiers.interface import Parts

FEWEST = 20
"""Images without which the statistics of a batch mean nothing."""

SHIFTED = 8
"""Images are shifted by one part in so many of their size: 4 pixels of 32, as in the papers."""

PUBLISHED, LEAST = 2500, 32
"""Images that the papers' batch sizes are meant for; what is left to a batch of fewer images."""

STEPS = 10
"""Steps that an epoch has at least: of few images it is several passes."""

MIRRORED = 0.02
"""Share of images that may be lost to mirroring before images are no longer mirrored."""


@dataclass(frozen=True)
class FineTuning:
    """A fine-tuning by clean images.

    Args:
        training: how; see ``train_on_clean``.
        patience: after so many epochs in a row that brought no better accuracy on the validation
            images, from the middle of the training on, it ends.
        recalibrate: whether it closes with a recalibration of the batch-norm statistics.
        name: of the method, for those who watch the progress.
        stage: of this training among the stages of its method.
    """

    training: Training
    patience: int
    recalibrate: bool
    name: str
    stage: str = "fine-tuning"

    def run(
        self,
        network: nn.Module,
        parts: Parts,
        *,
        seed: int,
        stages: Stages,
        objective: Objective | None = None,
    ) -> dict[str, Any]:
        """Fine-tune ``network`` in place on ``parts.fit``; keep the mean of the last states.

        If that is worse on the validation images, it is the last state that is as good as the best.
        The states of the first half are never gone back to: the accuracy is best before anything is
        repaired.
        Recalibrated statistics are kept if the validation accuracy is no lower for it.

        Args:
            network: images in [0, 1] -> logits, in eval mode, as it is left.
            parts: clean images.
            seed: of all that is drawn.
            stages: where to look for and leave the state.
            objective: what to minimise; None for the cross-entropy.

        Returns:
            What was done, JSON-ready.
        """
        best = KeepBest(parts.validation, self.training.epochs // 2, self.patience)
        watch = KeepMean(best)
        along = Along(watch, stages, self.stage)
        with under(self.name):
            done = train_on_clean(
                network, parts, self.training, seed=seed, along=along, objective=objective
            )
        recalibrated = self.recalibrate and recalibrate_unless_worse(network, parts)
        return done | {
            "validation_accuracy": accuracy_on(network, parts.validation),
            "recalibrated": recalibrated,
        }


def train_on_clean(
    network: nn.Module,
    parts: Parts,
    training: Training,
    *,
    seed: int,
    along: Along,
    objective: Objective | None = None,
) -> dict[str, Any]:
    """Train a network in place on ``parts.fit``, with an augmentation that suits the images.

    Images are shifted by up to an eighth of their size. They are mirrored only if the network knows
    them as well when they are: signs and digits are not, and nobody says what the images show.

    Args:
        network: images in [0, 1] -> logits, in eval mode, as it is left.
        parts: clean images.
        training: how. Its batch size is the largest one: from fewer than 2,500 images as many
            batches are made as from these, of 32 images or more, and an epoch is as many passes as
            make ten steps, since it is steps that repair. All batches of a pass are equally large.
            Its shift and flip are replaced.
        seed: of all that is drawn.
        along: who watches, and where the state is left.
        objective: what to minimise; None for the cross-entropy.

    Returns:
        What was done, JSON-ready.

    Raises:
        NotApplicableError: if there are too few images.
        DivergedError: if a loss or a weight became NaN or infinite.
    """
    clean = parts.fit
    require_images(len(clean), FEWEST)
    size = _batch_size(len(clean), training.batch_size)
    passes = -(-STEPS * size // len(clean))
    suited = replace(
        training,
        batch_size=size,
        shift=min(clean.images.shape[2:]) // SHIFTED,
        flip=_may_be_mirrored(network, parts),
    )
    device = next(network.parameters()).device
    shown = Epochs.alike(
        clean.images.to(device).repeat(passes, 1, 1, 1), clean.labels.to(device).repeat(passes)
    )
    with seeded(seed), trainable(network):
        epochs = train(network, shown, suited, seed=seed, objective=objective, along=along)
    return {
        "epochs": epochs,
        "steps": epochs * -(-shown.images // size),
        "passes": epochs * passes,
        "shifted_by": suited.shift,
        "mirrored": suited.flip,
    }


def _batch_size(count: int, largest: int) -> int:
    """Images in each batch of a pass over ``count`` images, the last one's perhaps a few fewer."""
    scaled = int(largest * min(1.0, count / PUBLISHED))
    batches = -(-count // max(min(LEAST, largest), scaled))
    return -(-count // batches)


def require_images(count: int, fewest: int) -> None:
    """Refuse too few images.

    Raises:
        NotApplicableError: says how many are needed.
    """
    if count < fewest:
        raise NotApplicableError(
            f"there are {counted(count, 'clean image')} to repair it with, and {fewest} are needed."
        )


def recalibrate_unless_worse(network: nn.Module, parts: Parts) -> bool:
    """Recalibrate batch norm on ``parts.fit``; undo it if the validation accuracy is lower for it.

    Args:
        network: images in [0, 1] -> logits, in eval mode; changed in place.
        parts: clean images.

    Returns:
        Whether the network now has other statistics.
    """
    accuracy, before = accuracy_on(network, parts.validation), copied(network)
    if not recalibrate(network, parts.fit):
        return False
    if accuracy_on(network, parts.validation) < accuracy:
        network.load_state_dict(before)
        return False
    return True


@contextmanager
def trainable(network: nn.Module) -> Iterator[None]:
    """Inside the block every weight may learn; after it flags are as before, and gradients gone."""
    flags = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    for parameter, _ in flags:
        parameter.requires_grad_(parameter.is_floating_point())
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
            parameter.grad = None


def _may_be_mirrored(network: nn.Module, parts: Parts) -> bool:
    shown = (parts.fit, parts.validation)
    images = sum(len(part) for part in shown)
    lost = sum(
        len(part) * (accuracy_on(network, part) - accuracy_on(network, part, mirrored=True))
        for part in shown
    )
    return lost <= MIRRORED * images
