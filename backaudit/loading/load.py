"""A checkpoint and clean images -> the suspect and the clean set, ready to be audited."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import CheckpointError, CleanSetError
from backaudit.core.printable import printable
from backaudit.core.progress import track
from backaudit.core.suspect import Preprocessing, Suspect, as_input, batch_size
from backaudit.files.limits import Limits
from backaudit.loading.assembly import assembled, recognised_in, suspect_of
from backaudit.loading.clean_images.class_names import ClassNames, class_names_in, read_class_names
from backaudit.loading.clean_images.found import counted
from backaudit.loading.clean_images.images import SHORTER_SIDE, RawImages, read_images
from backaudit.loading.clean_images.matching import (
    Matching,
    best_agreement,
    match_classes,
    near_chance,
)
from backaudit.loading.clean_images.resizing import CROP_MARGIN, fitted, is_cropped
from backaudit.loading.preparation.choosing import choose
from backaudit.loading.preparation.conventions import Stated, stated_in
from backaudit.loading.recognition.recognised import Recognised
from backaudit.loading.weights.checkpoint import Checkpoint, read_checkpoint

MAX_IMAGES = 2500
LOW_ACCURACY = 0.5
MISORDERED = 0.5


@dataclass(frozen=True)
class LoadOptions:
    """What the user states; the rest is found out.

    Args:
        arch: name of the architecture.
        model_def: ``file.py:function`` that makes the network; the file is executed.
        classes: file with the names of the outputs.
        size: height and width of the network's images.
        mean: per-channel mean in [0, 1] units, or one number.
        std: per-channel standard deviation in [0, 1] units, or one number.
        device: where the suspect is put.
        max_images: of more clean images, a class-balanced subset is used; None for all.
        limits: on what is read of the checkpoint.
    """

    arch: str | None = None
    model_def: str | None = None
    classes: Path | None = None
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    device: str | torch.device = "cpu"
    max_images: int | None = MAX_IMAGES
    limits: Limits = field(default_factory=Limits)


def load(model: Path, clean: Path, options: LoadOptions | None = None) -> tuple[Suspect, CleanSet]:
    """Load a suspect and the clean images to audit it with.

    Args:
        model: the checkpoint's file.
        clean: folder or ``.npz`` file of clean images.
        options: what is stated.

    Raises:
        UnsafeFileError: if the suspect's file would run code, or deceives; nothing was loaded.
        CheckpointError: if the suspect cannot be read, recognised or run.
        CleanSetError: if the clean images cannot be used, or do not fit the suspect.
        SettingError: if an option makes no sense.
    """
    options = options or LoadOptions()
    checkpoint = read_checkpoint(model, limits=options.limits)
    recognised = recognised_in(checkpoint, options.arch, options.model_def, options.size)
    names = _class_names(checkpoint, recognised.num_classes, options.classes)
    stated = Stated(options.size, options.mean, options.std)
    side = _shorter_side(recognised, stated)
    raw = read_images(clean, max_images=options.max_images, shorter_side=side)
    chosen = choose(recognised, checkpoint.path, raw, stated, options.device)
    recognised, preprocessing = chosen.recognised, chosen.preprocessing
    images = fitted(raw.images, preprocessing.size, recognised.in_channels)
    made = assembled(checkpoint, recognised, preprocessing, images)
    predictions = _predictions(made.network, images)
    matching = match_classes(raw, predictions, recognised.num_classes, names)
    _require_sense(matching, raw, predictions, preprocessing)
    suspect = suspect_of(checkpoint, recognised, preprocessing, made)
    defined = options.model_def is not None
    suspect = replace(
        suspect,
        class_names=matching.class_names,
        assumptions=(
            *suspect.assumptions,
            *raw.notes,
            *_doubts(raw, matching, predictions, preprocessing),
        ),
        making=replace(suspect.making, arch=options.arch, size=options.size, defined=defined),
    )
    how, accuracy = matching.how, matching.accuracy
    return suspect, CleanSet(images, matching.labels, matching.labelled, raw.source, how, accuracy)


def _shorter_side(recognised: Recognised, stated: Stated) -> int:
    """How large pictures are kept: as the largest size in question needs before it is cropped."""
    found = stated_in(recognised.metadata, recognised.in_channels).size
    sides: list[int] = [*(stated.size or ()), *(found or ()), recognised.input_size or 0]
    return max(SHORTER_SIDE, int(max(sides) * CROP_MARGIN))


def _class_names(checkpoint: Checkpoint, num_classes: int, file: Path | None) -> ClassNames | None:
    if file is not None:
        return read_class_names(file, num_classes)
    return class_names_in(checkpoint.metadata, num_classes)


@torch.no_grad()
def _predictions(network: nn.Module, images: Tensor) -> Tensor:
    """Predicted classes (N,) on the CPU for images (N, C, H, W) uint8.

    Raises:
        CheckpointError: if an answer is not finite.
    """
    device = next(network.parameters()).device
    batches = track(torch.split(images, batch_size(images)), "classifying the clean images")
    logits = torch.cat([network(as_input(batch, device)).float().cpu() for batch in batches])
    broken = int((~logits.isfinite()).any(1).sum())
    if broken:
        raise CheckpointError(
            f"the network answers {broken} of {len(images)} clean images with NaN or infinite "
            "scores: it is broken, or its images are prepared wrongly (--mean, --std)."
        )
    return logits.argmax(1)


def _require_sense(
    matching: Matching, raw: RawImages, predictions: Tensor, preprocessing: Preprocessing
) -> None:
    """Refuse an accuracy near chance, for which something assumed must be wrong."""
    poor = near_chance(matching, predictions)
    if poor is None:
        return
    height, width = preprocessing.size
    hint = ""
    best = best_agreement(raw, predictions)
    if best is not None and best > MISORDERED:
        hint = f" Under another order of the classes it would be {best:.0%}: look there first."
    raise CleanSetError(
        f"wrong preprocessing or wrong classes: {poor}. Assumed were images of {height}x{width} "
        f"normalised as {preprocessing.name} ({preprocessing.how}), and these classes: "
        f"{printable(matching.how, 300)}.{hint} State what is right with --size, --mean and --std, "
        "or --classes."
    )


def _doubts(
    raw: RawImages, matching: Matching, predictions: Tensor, preprocessing: Preprocessing
) -> Iterator[str]:
    """What makes the evidence weaker, one sentence each."""
    cropped = sum(is_cropped(image, preprocessing.size) for image in raw.images)
    if cropped:
        yield f"The middle was cut out of {counted(cropped, 'image')}, as is usual for photographs."
    grey = sum(image.shape[0] == 1 for image in raw.images)
    if grey and len(preprocessing.mean) == 3:
        yield f"{counted(grey, 'image')} without colour: all three channels got the same value."
    if matching.accuracy is not None and matching.accuracy < LOW_ACCURACY:
        yield (
            f"The suspect classifies only {matching.accuracy:.0%} of the clean images as labelled; "
            "if it should do better, the preprocessing or the classes are wrong."
        )
    if not matching.labelled and int(predictions.min()) == int(predictions.max()):
        yield "The suspect gives all clean images the same class: its preprocessing may be wrong."
