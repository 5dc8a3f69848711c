"""A data set the project draws by itself: traffic signs, 32x32 RGB, 12 classes.

Nothing is downloaded and nothing is licensed: every image is drawn from geometric shapes with a
random pose, light, background, blur, occlusion and sensor noise, so that even a good network
confuses some (left and right bends, 30 and 80).
"""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor

CLASSES = (
    "stop",
    "no-entry",
    "yield",
    "priority",
    "bend-left",
    "bend-right",
    "speed-30",
    "speed-50",
    "speed-80",
    "ahead-only",
    "turn-left",
    "turn-right",
)
SIZE = 32
CANVAS = 96

RED, BLUE, YELLOW = (196, 22, 32), (18, 76, 168), (246, 196, 24)
WHITE, BLACK = (244, 244, 240), (24, 24, 26)

Draw = Callable[[ImageDraw.ImageDraw], None]


def draw_signs(per_class: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw ``per_class`` images of every class; the same seed draws the same images.

    Returns:
        Images (N, 3, 32, 32) uint8 and labels (N,) int64, class by class.
    """
    rng = np.random.default_rng(seed)
    drawn = [
        _photograph(_sign(label), rng) for label in range(len(CLASSES)) for _ in range(per_class)
    ]
    images = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous()
    return images, torch.arange(len(CLASSES)).repeat_interleave(per_class)


def _regular(corners: int, radius: float, turn: float) -> list[tuple[float, float]]:
    angles = np.arange(corners) * 2 * np.pi / corners + np.deg2rad(turn)
    middle = CANVAS / 2
    return [(middle + radius * np.sin(a), middle - radius * np.cos(a)) for a in angles]


def _disc(draw: ImageDraw.ImageDraw, radius: float, fill: tuple[int, int, int]) -> None:
    draw.circle((CANVAS / 2, CANVAS / 2), radius, fill=fill)


def _arrow(draw: ImageDraw.ImageDraw, turn: int, fill: tuple[int, int, int]) -> None:
    """Draw an arrow that comes from below and leaves to the left (-1), ahead (0) or right (1)."""
    if turn == 0:
        draw.line([(48, 72), (48, 40)], fill=fill, width=10)
        draw.polygon([(34, 44), (62, 44), (48, 22)], fill=fill)
        return
    draw.line([(48 - 8 * turn, 70), (48 - 8 * turn, 46)], fill=fill, width=10)
    draw.line([(48 - 13 * turn, 46), (48 + 8 * turn, 46)], fill=fill, width=10)
    draw.polygon([(48 + 6 * turn, 32), (48 + 6 * turn, 60), (48 + 27 * turn, 46)], fill=fill)


def _stop(draw: ImageDraw.ImageDraw) -> None:
    draw.polygon(_regular(8, 44, 22.5), fill=WHITE)
    draw.polygon(_regular(8, 40, 22.5), fill=RED)
    draw.text((48, 48), "STOP", fill=WHITE, anchor="mm", font=ImageFont.load_default(24))


def _no_entry(draw: ImageDraw.ImageDraw) -> None:
    _disc(draw, 43, RED)
    draw.rectangle((20, 40, 76, 56), fill=WHITE)


def _yield(draw: ImageDraw.ImageDraw) -> None:
    draw.polygon(_regular(3, 46, 180), fill=RED)
    draw.polygon(_regular(3, 26, 180), fill=WHITE)


def _priority(draw: ImageDraw.ImageDraw) -> None:
    draw.polygon(_regular(4, 46, 0), fill=WHITE)
    draw.polygon(_regular(4, 36, 0), fill=YELLOW)


def _bend(turn: int) -> Draw:
    def draw_bend(draw: ImageDraw.ImageDraw) -> None:
        draw.polygon(_regular(3, 47, 0), fill=RED)
        draw.polygon(_regular(3, 34, 0), fill=WHITE)
        draw.line(
            [(48 - 5 * turn, 66), (48 - 5 * turn, 52), (48 + 6 * turn, 44)], fill=BLACK, width=7
        )

    return draw_bend


def _speed(limit: str) -> Draw:
    def draw_speed(draw: ImageDraw.ImageDraw) -> None:
        _disc(draw, 43, RED)
        _disc(draw, 33, WHITE)
        draw.text((48, 48), limit, fill=BLACK, anchor="mm", font=ImageFont.load_default(42))

    return draw_speed


def _direction(turn: int) -> Draw:
    def draw_direction(draw: ImageDraw.ImageDraw) -> None:
        _disc(draw, 43, BLUE)
        _arrow(draw, turn, WHITE)

    return draw_direction


_DRAWERS: tuple[Draw, ...] = (
    _stop,
    _no_entry,
    _yield,
    _priority,
    _bend(-1),
    _bend(1),
    _speed("30"),
    _speed("50"),
    _speed("80"),
    _direction(0),
    _direction(-1),
    _direction(1),
)


def _sign(label: int) -> Image.Image:
    sign = Image.new("RGBA", (CANVAS, CANVAS), (0, 0, 0, 0))
    _DRAWERS[label](ImageDraw.Draw(sign))
    return sign


def _photograph(sign: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Put a sign into a scene and take a small, imperfect picture (32, 32, 3) uint8 of it."""
    scene = _background(rng)
    posed = sign.transform(
        (CANVAS, CANVAS), Image.Transform.PERSPECTIVE, _pose(rng), Image.Resampling.BILINEAR
    )
    scene.paste(posed, (0, 0), posed)
    if rng.random() < 0.5:
        _occlude(scene, rng)
    scene = scene.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 5.0))))
    small = np.asarray(scene.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=np.float32)
    return _expose(small, rng)


def _background(rng: np.random.Generator) -> Image.Image:
    coarse = rng.uniform(30, 220, size=(rng.integers(2, 6), rng.integers(2, 6), 3)).astype(np.uint8)
    scene = Image.fromarray(coarse).resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(scene)
    for _ in range(rng.integers(0, 4)):
        colour = tuple(int(value) for value in rng.integers(0, 255, 3))
        draw.line(rng.uniform(0, CANVAS, 4).tolist(), fill=colour, width=int(rng.integers(2, 14)))
    return scene


def _pose(rng: np.random.Generator) -> list[float]:
    """Coefficients of the map from picture to sign: turn, scale, shift, slant and perspective."""
    angle, scale = np.deg2rad(rng.uniform(-14, 14)), 1 / rng.uniform(0.6, 1.02)
    slant, squeeze = rng.uniform(-0.12, 0.12), rng.uniform(0.85, 1.15)
    linear = scale * np.array(
        [
            [np.cos(angle), -np.sin(angle) + slant],
            [np.sin(angle) * squeeze, np.cos(angle) * squeeze],
        ]
    )
    perspective = rng.uniform(-0.0012, 0.0012, 2)
    middle = np.full(2, CANVAS / 2)
    shift = middle * (1 + perspective.sum() / 2) - linear @ (middle + rng.uniform(-7, 7, 2))
    return [*linear[0], shift[0], *linear[1], shift[1], *perspective]


def _occlude(scene: Image.Image, rng: np.random.Generator) -> None:
    left, top = rng.uniform(0, CANVAS * 0.8, 2)
    width, height = rng.uniform(12, 46, 2)
    colour = tuple(int(value) for value in rng.integers(0, 255, 3))
    ImageDraw.Draw(scene).rectangle((left, top, left + width, top + height), fill=colour)


def _expose(small: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    contrast, light = rng.uniform(0.25, 1.1), rng.uniform(-45, 45)
    cast = rng.uniform(0.85, 1.15, 3)
    noisy = (small - 128) * contrast * cast + 128 + light
    noisy = noisy + rng.normal(0, rng.uniform(2, 18), small.shape)
    return noisy.clip(0, 255).astype(np.uint8)
