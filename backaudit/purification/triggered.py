"""Images that carry the trigger, if somebody has them: only to measure with."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from backaudit.core.errors import CleanSetError, InputError, SettingError
from backaudit.core.printable import counted, printable
from backaudit.core.settings import did_you_mean
from backaudit.core.suspect import Suspect
from backaudit.loading.clean_images.arrays import find_in_archive
from backaudit.loading.clean_images.folders import find_in_folder
from backaudit.loading.clean_images.found import Found
from backaudit.loading.clean_images.images import SHORTER_SIDE
from backaudit.loading.clean_images.resizing import CROP_MARGIN, fitted


@dataclass(frozen=True)
class Triggered:
    """Images that carry the trigger, at the suspect's resolution.

    Args:
        images: (N, C, H, W) uint8 on the CPU; none of the target class if the classes are known.
        labels: (N,) int64, their true classes; None if not known.
        target: the class that the trigger is said to lead to.
        said: where they came from, for the report.
    """

    images: Tensor
    labels: Tensor | None
    target: int
    said: str


def read_triggered(source: Path, target: str, suspect: Suspect) -> Triggered:
    """Read images that carry the trigger; those of the target's own class are left out.

    Args:
        source: folder of class folders (the images' true classes), a folder with ``labels.csv``, a
            flat folder, or an ``.npz`` file.
        target: name or number of a class.
        suspect: whose classes they are of.

    Raises:
        SettingError: if there is no such class.
        InputError: if the images cannot be used.
    """
    label = class_named(target, suspect)
    found = _found(source, suspect)
    labels = _labels(found, suspect, source)
    images = _images(found, source, suspect)
    kept, note = Triggered(images, labels, label, ""), "their true classes are not known"
    if labels is not None:
        others = (labels != label).nonzero().flatten()
        own = len(labels) - len(others)
        kept = replace(kept, images=images[others], labels=labels[others])
        note = f"{counted(own, 'image')} of the target's own class left out"
    if not len(kept.images):
        raise InputError(f"{source} holds no triggered image of another class than {target}.")
    name = printable(suspect.class_names[label], 32)
    said = f"{counted(len(kept.images), 'image')} from {source}, target '{name}' (class {label}); "
    return replace(kept, said=said + note)


def class_named(text: str, suspect: Suspect) -> int:
    """The class of a name, or of a number.

    Raises:
        SettingError: if there is none.
    """
    index = _index(text, suspect.class_names)
    if index is None:
        known = (printable(name) for name in suspect.class_names)
        raise SettingError(f"the model has no class {text!r}. {did_you_mean(text, known)}")
    return index


def _index(name: str, class_names: Sequence[str]) -> int | None:
    folded = [known.casefold() for known in class_names]
    if folded.count(name.casefold()) == 1:
        return folded.index(name.casefold())
    if name.isdecimal() and int(name) < len(class_names):
        return int(name)
    return None


def _found(source: Path, suspect: Suspect) -> Found:
    side = max(SHORTER_SIDE, int(max(suspect.image_shape[1:]) * CROP_MARGIN))
    try:
        if source.is_dir():
            found = find_in_folder(source, side)
        elif source.suffix.lower() == ".npz" and source.is_file():
            found = find_in_archive(source)
        else:
            raise InputError(f"{source} is neither a folder nor an .npz file of triggered images.")
    except CleanSetError as error:
        raise InputError(f"the triggered images cannot be used: {error}") from error
    if not found.count:
        raise InputError(f"{source} holds no triggered images.")
    return found


def _labels(found: Found, suspect: Suspect, source: Path) -> Tensor | None:
    if found.indices is not None:
        _require_classes([str(i) for i in found.indices if i >= suspect.num_classes], source)
        return torch.tensor(found.indices)
    if found.labels is None:
        return None
    known = {name: _index(name, suspect.class_names) for name in set(found.labels)}
    _require_classes([name for name, index in known.items() if index is None], source)
    return torch.tensor([known[name] for name in found.labels])


def _require_classes(unknown: Sequence[str], source: Path) -> None:
    if unknown:
        raise InputError(
            f"the triggered images of {source} are sorted by {printable(min(unknown))!r}, which is "
            "no class of the model. Sort them by their true classes, or give one flat folder."
        )


def _images(found: Found, source: Path, suspect: Suspect) -> Tensor:
    with warnings.catch_warnings():
        # Damaged metadata and large pictures: reading has limits of its own, which raise.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        try:
            images, _ = found.decode(range(found.count))
        except CleanSetError as error:
            raise InputError(f"the triggered images cannot be used: {error}") from error
    return fitted(images, suspect.image_shape[1:], suspect.image_shape[0])
