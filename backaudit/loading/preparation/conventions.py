"""How images are usually normalised, and what a checkpoint says about it."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from backaudit.core.errors import SettingError

SMALLEST, LARGEST = 8, 1024
LONGEST = 4
SAME = 0.004


@dataclass(frozen=True)
class Convention:
    """A usual way to normalise images in [0, 1].

    Args:
        name: what it is usually called.
        mean: per-channel mean, subtracted first.
        std: per-channel standard deviation, divided by second.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Stated:
    """What options or a checkpoint say about preprocessing; None where they say nothing.

    Args:
        size: height and width in pixels.
        mean: per-channel mean in [0, 1] units, or one number for all channels.
        std: per-channel standard deviation in [0, 1] units, or one number for all channels.
        origin: who says so, for the report.
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    origin: str = "the checkpoint"

    def convention(self, channels: int) -> Convention | None:
        """The stated normalisation, under its usual name if it has one; None if none is stated.

        Raises:
            SettingError: if it cannot be meant for a network with so many channels.
        """
        if self.mean is None and self.std is None:
            return None
        if self.mean is None or self.std is None:
            raise SettingError("--mean and --std belong together: give both, or neither.")
        mean, std = _spread(self.mean, channels), _spread(self.std, channels)
        if mean is None or std is None:
            raise SettingError(
                f"--mean and --std need {channels} numbers, one for each channel, or one number."
            )
        if not all(-1 <= value <= 1 for value in mean) or not all(0 < value < 10 for value in std):
            raise SettingError(
                f"--mean {mean} --std {std}: the mean must lie in [0, 1] and the deviation be "
                "positive. Divide numbers in 0 to 255 by 255."
            )
        return named(mean, std)


UNIT = Convention("[0, 1]", (0.0,), (1.0,))
_COLOUR = (
    Convention("[0, 1]", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    Convention("[-1, 1]", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    Convention("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    Convention("cifar10", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    # The mean over images of each image's own deviation, which much CIFAR-10 code uses.
    Convention("cifar10, small deviation", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    Convention("cifar100", (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    Convention("gtsrb", (0.3403, 0.3121, 0.3214), (0.2724, 0.2608, 0.2669)),
    Convention("svhn", (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    Convention("tiny-imagenet", (0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262)),
    Convention("clip", (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)),
    Convention("0 to 255", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
    Convention("imagenet mean, 0 to 255", (0.485, 0.456, 0.406), (1 / 255, 1 / 255, 1 / 255)),
)
_GREY = (
    UNIT,
    Convention("[-1, 1]", (0.5,), (0.5,)),
    Convention("mnist", (0.1307,), (0.3081,)),
    Convention("fashion-mnist", (0.2860,), (0.3530,)),
    Convention("imagenet, grey", (0.449,), (0.226,)),
    Convention("0 to 255", (0.0,), (1 / 255,)),
)

_MEANS = ("mean", "image_mean", "normalize_mean", "norm_mean", "means")
_STDS = ("std", "image_std", "normalize_std", "norm_std", "stds")
_ORIGINS = {
    "preprocessor_config": "preprocessor_config.json",
    "pretrained_cfg": "config.json, where timm writes it whatever the images of training were",
}
_SIZES = ("img_size", "image_size", "input_size", "crop_size", "size")


def conventions(channels: int) -> tuple[Convention, ...]:
    """The usual conventions for images of 1 or 3 channels."""
    return _GREY if channels == 1 else _COLOUR


def named(mean: tuple[float, ...], std: tuple[float, ...]) -> Convention:
    """A normalisation under its usual name, or as ``custom``."""
    for usual in conventions(len(mean)):
        if _close(mean, usual.mean) and _close(std, usual.std):
            return Convention(usual.name, mean, std)
    return Convention("custom", mean, std)


def stated_in(metadata: Mapping[str, object], channels: int) -> Stated:
    """What a checkpoint's metadata say; anything that makes no sense is left out."""
    places = list(configurations(metadata))
    size = next((found for _, place in places if (found := _size(_first(place, _SIZES)))), None)
    for key, place in places:
        mean, std = _normalisation(place, channels)
        if mean and std:
            return Stated(size, mean, std, _ORIGINS.get(key, "the checkpoint"))
    origin = next((_ORIGINS[key] for key, _ in places if key in _ORIGINS), "the checkpoint")
    return Stated(size, origin=origin)


def configurations(metadata: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The metadata, and the dictionaries up to two levels down, each under its key."""
    yield "", metadata
    first = [(key, parsed(metadata[key])) for key in sorted(metadata, key=_is_plain)]
    inner = [(key, value) for key, value in first if isinstance(value, Mapping)]
    yield from inner
    for _, place in inner:
        for key, value in place.items():
            if isinstance(value, Mapping):
                yield str(key), value


def _is_plain(key: str) -> bool:
    """Sorts what a folder says of images before what it says of the network."""
    return key != "preprocessor_config"


def _normalisation(
    place: Mapping[str, object], channels: int
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Mean and std for images in [0, 1]; None for what is not stated or makes no sense."""
    mean = _spread(_numbers(_first(place, _MEANS)), channels)
    std = _spread(_numbers(_first(place, _STDS)), channels)
    if place.get("do_normalize") is False:
        mean, std = (0.0,) * channels, (1.0,) * channels
    if not mean or not std:
        return None, None
    largest = 255 if max(mean) > 1 else _largest(place)
    mean, std = (tuple(value / largest for value in part) for part in (mean, std))
    usable = all(0 <= value <= 1 for value in mean) and all(0 < value < 10 for value in std)
    return (mean, std) if usable else (None, None)


def _largest(place: Mapping[str, object]) -> float:
    """What white is before it is normalised: 1, unless a folder says that it is not scaled so."""
    if place.get("do_rescale") is False:
        return 255.0
    factor = place.get("rescale_factor")
    return 255 * factor if isinstance(factor, float) and 0 < factor <= 1 else 1.0


def parsed(value: object) -> Any:
    """A value, read as JSON where it is text, as safetensors stores everything."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _first(place: Mapping[str, object], keys: tuple[str, ...]) -> Any:
    return next((parsed(place[key]) for key in keys if place.get(key) is not None), None)


def _numbers(value: Any) -> tuple[float, ...] | None:
    try:
        tensor = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return None
    numbers = tensor.flatten()[:LONGEST].tolist()
    return tuple(numbers) if numbers and all(map(math.isfinite, numbers)) else None


def _size(value: Any) -> tuple[int, int] | None:
    """(height, width) from 32, (32, 48), (3, 32, 48), (32, 48, 3) or {"height": 32, ...}."""
    if isinstance(value, Mapping):
        value = [value.get("height", value.get("shortest_edge")), value.get("width")]
        value = [side for side in value if side is not None]
    sides = [int(side) for side in _numbers(value) or () if side not in (1, 3)]
    if len(sides) not in (1, 2) or not all(SMALLEST <= side <= LARGEST for side in sides):
        return None
    return sides[0], sides[-1]


def _spread(values: tuple[float, ...] | None, channels: int) -> tuple[float, ...] | None:
    if values is not None and len(values) == 1:
        return values * channels
    return values if values is not None and len(values) == channels else None


def _close(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return all(abs(a - b) < SAME for a, b in zip(first, second, strict=True))
