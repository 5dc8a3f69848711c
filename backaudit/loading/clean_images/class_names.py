"""What a network's outputs are called, as a file or the checkpoint says."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backaudit.core.errors import CleanSetError, SettingError
from backaudit.loading.preparation.conventions import configurations, parsed

KEYS = (
    "class_names",
    "classes",
    "label_names",
    "id2label",
    "idx_to_class",
    "class_to_idx",
    "label2id",
    "labels",
)
SIZE_LIMIT = 4 << 20


@dataclass(frozen=True)
class ClassNames:
    """Names of a network's outputs, in their order.

    Args:
        names: one for each output.
        origin: who says so, for the report.
        trusted: whether the user stated them, rather than the checkpoint.
    """

    names: tuple[str, ...]
    origin: str
    trusted: bool


def read_class_names(path: Path, num_classes: int) -> ClassNames:
    """Read a file of class names: one a line, or a JSON list or dictionary.

    Raises:
        SettingError: if there is no such file.
        CleanSetError: if it does not name every output of the network.
    """
    try:
        if path.stat().st_size > SIZE_LIMIT:
            raise CleanSetError(f"{path} is too large for a list of class names.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"--classes {path} cannot be read as text: {error}.") from error
    try:
        names = _names(json.loads(text))
    except (ValueError, RecursionError):
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if names is None or len(names) != num_classes:
        found = "no names" if names is None else f"{len(names)} names"
        raise CleanSetError(
            f"{path} holds {found}, but the network has {num_classes} outputs. Write one name a "
            "line in the order of the outputs, or a JSON list."
        )
    return ClassNames(names, f"{path.name}", trusted=True)


def class_names_in(metadata: Mapping[str, object], num_classes: int) -> ClassNames | None:
    """Class names in a checkpoint's metadata, if they name every output."""
    for _, place in configurations(metadata):
        for key in KEYS:
            names = _names(parsed(place.get(key)))
            if names is not None and len(names) == num_classes:
                return ClassNames(names, f"the checkpoint's {key!r}", trusted=False)
    return None


def _names(value: Any) -> tuple[str, ...] | None:
    """Names in order from a list, from index -> name, or from name -> index."""
    if isinstance(value, Mapping):
        pairs = list(value.items())
        if pairs and all(isinstance(index, int) for _, index in pairs):
            pairs = [(index, name) for name, index in pairs]
        if not all(str(index).isdecimal() for index, _ in pairs):
            return None
        pairs.sort(key=lambda pair: int(pair[0]))
        if [int(index) for index, _ in pairs] != list(range(len(pairs))):
            return None
        value = [name for _, name in pairs]
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return tuple(value)
    return None
