"""How strong each corruption is at each severity, and how they are called.

``imagenet-c``: Hendrycks and Dietterich, ICLR 2019, https://arxiv.org/abs/1903.12261, made for
pictures of 224 x 224 pixels; the elastic one is that of Michaelis et al., 2019,
https://arxiv.org/abs/1907.07484, which grows with the picture. ``cifar-c``: the same authors' for
pictures of 32 x 32 pixels.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from backaudit.screeners.corruptions.blur import defocus_blur, glass_blur, motion_blur, zoom_blur
from backaudit.screeners.corruptions.digital import contrast, elastic, jpeg, pixelate
from backaudit.screeners.corruptions.draw import Corruption, Draw
from backaudit.screeners.corruptions.noise import gaussian_noise, impulse_noise, shot_noise
from backaudit.screeners.corruptions.weather import brightness, fog, frost, snow

Table = Literal["imagenet-c", "cifar-c"]
SEVERITIES = 5

CORRUPTIONS: Mapping[str, Callable[..., Corruption]] = {
    "gaussian-noise": gaussian_noise,
    "shot-noise": shot_noise,
    "impulse-noise": impulse_noise,
    "defocus-blur": defocus_blur,
    "glass-blur": glass_blur,
    "motion-blur": motion_blur,
    "zoom-blur": zoom_blur,
    "snow": snow,
    "frost": frost,
    "fog": fog,
    "brightness": brightness,
    "contrast": contrast,
    "elastic": elastic,
    "pixelate": pixelate,
    "jpeg": jpeg,
}

# fmt: off
STRENGTHS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "imagenet-c": {
        "gaussian-noise": (0.08, 0.12, 0.18, 0.26, 0.38),
        "shot-noise": (60, 25, 12, 5, 3),
        "impulse-noise": (0.03, 0.06, 0.09, 0.17, 0.27),
        "defocus-blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        "glass-blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        "motion-blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "zoom-blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        "snow": (
            ((0.1, 0.3, 3, 0.5), (10, 4), 0.8),
            ((0.2, 0.3, 2, 0.5), (12, 4), 0.7),
            ((0.55, 0.3, 4, 0.9), (12, 8), 0.7),
            ((0.55, 0.3, 4.5, 0.85), (12, 8), 0.65),
            ((0.55, 0.3, 2.5, 0.85), (12, 12), 0.55),
        ),
        "frost": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
        "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
        "elastic": (
            (0.0625, 0.01, 0), (0.08125, 0.01, 0), (0.10625, 0.01, 0), (0.125, 0.01, 0),
            (0.15, 0.01, 0),
        ),
        "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
        "jpeg": (25, 18, 15, 10, 7),
    },
    "cifar-c": {
        "gaussian-noise": (0.04, 0.06, 0.08, 0.09, 0.1),
        "shot-noise": (500, 250, 100, 75, 50),
        "impulse-noise": (0.01, 0.02, 0.03, 0.05, 0.07),
        "defocus-blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        "glass-blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        "motion-blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "zoom-blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        "snow": (
            ((0.1, 0.2, 1, 0.6), (8, 3), 0.95),
            ((0.1, 0.2, 1, 0.5), (10, 4), 0.9),
            ((0.15, 0.3, 1.75, 0.55), (10, 4), 0.9),
            ((0.25, 0.3, 2.25, 0.6), (12, 6), 0.85),
            ((0.3, 0.3, 1.25, 0.65), (14, 12), 0.8),
        ),
        "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
        "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
        "elastic": (
            (0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
        "jpeg": (80, 65, 58, 50, 40),
    },
}
# fmt: on


def corruption(name: str, severity: int, draw: Draw, table: Table) -> Corruption:
    """Prepare one corruption for images of one size.

    Args:
        name: a key of ``CORRUPTIONS``.
        severity: 1 (weakest) to 5.
        draw: random numbers, the same at every severity.
        table: whose strengths.
    """
    strength = STRENGTHS[table][name][severity - 1]
    parameters = strength if isinstance(strength, tuple) else (strength,)
    return CORRUPTIONS[name](draw, *parameters)
