"""How a screener's scores of clean and of triggered images are spread, model by model."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backaudit.bench.screening.figures import is_screened, seen
from backaudit.bench.tables.figures import is_benign
from backaudit.bench.tables.rows import attack_of, network_of
from backaudit.bench.tables.svg import document, text, ticks
from backaudit.bench.trials.results import Record
from backaudit.core.printable import counted, printable

# Of Okabe and Ito, for colour-blind readers; the triggered ones are the darker ones in grey.
CLEAN, TRIGGERED = "#56b4e9", "#a63a00"
BINS = 50
LEFT, TOP, WIDTH, RIGHT = 330, 64, 420, 30
ROW, HALF = 44, 9
LONGEST = 54


@dataclass(frozen=True)
class Spread:
    """The scores of one model, over all seeds.

    Args:
        label: the model's name.
        clean: (N,) scores of clean images.
        triggered: (M,) scores of triggered images; M is 0 for a benign model.
        thresholds: one a seed.
    """

    label: str
    clean: Tensor
    triggered: Tensor
    thresholds: tuple[float, ...]


def violins_picture(results: Sequence[Record], method: str) -> str:
    """Draw two mirrored histograms a model into one SVG.

    Args:
        results: of all screeners.
        method: name of the screener to draw.
    """
    own = [each for each in results if each["method"] == method and is_screened(each)]
    return drawn(f"{method}: scores of images", spreads(own))


def spreads(results: Sequence[Record]) -> list[Spread]:
    """The scores of each model, by network, attack and name; benign models first."""
    by_model: dict[tuple[str, str, str], list[Record]] = {}
    for result in results:
        attack = "" if is_benign(result) else attack_of(result)
        key = network_of(result), attack, str(result["model"])
        by_model.setdefault(key, []).append(result)
    return [_spread(name, own) for (_, _, name), own in sorted(by_model.items())]


def _spread(name: str, results: Sequence[Record]) -> Spread:
    clean, triggered = (
        [found.scores for each in results if (found := seen(each, kind)) is not None]
        for kind in ("clean", "triggered")
    )
    nothing = torch.empty(0, dtype=torch.float64)
    thresholds = tuple(sorted({result["outcome"]["threshold"] for result in results}))
    return Spread(name, torch.cat([nothing, *clean]), torch.cat([nothing, *triggered]), thresholds)


def drawn(title: str, rows: Sequence[Spread]) -> str:
    """Draw models below each other over one axis of scores."""
    low, high = _limits(rows)
    height = TOP + ROW * len(rows) + 52
    title = f"{title}, {counted(len(rows), 'model')}"
    parts = [text(16, 22, title, size=13), *_legend()]
    parts += _axis(low, high, TOP + ROW * len(rows))
    for index, row in enumerate(rows):
        parts += _row(row, TOP + ROW * index, (low, high))
    return document(title, LEFT + WIDTH + RIGHT, height, parts)


def _limits(rows: Sequence[Spread]) -> tuple[float, float]:
    values = [value for row in rows for part in (row.clean, row.triggered) for value in part]
    values += [torch.tensor(value) for row in rows for value in row.thresholds]
    known = [float(value) for value in values if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _legend() -> Iterator[str]:
    for x, colour, said in ((16, CLEAN, "clean images"), (130, TRIGGERED, "triggered images")):
        yield f'<rect x="{x}" y="34" width="12" height="12" fill="{colour}"/>'
        yield text(x + 18, 45, said)
    yield f'<path d="M268 34v12" {THRESHOLD}/>'
    yield text(
        276, 45, "threshold: a score above it is flagged. Each shape is scaled to its fullest bin."
    )


THRESHOLD = 'stroke="#000000" stroke-width="1.5"'


def _axis(low: float, high: float, bottom: float) -> Iterator[str]:
    for value in ticks(low, high):
        x = _across(value, low, high)
        yield f'<path d="M{x} {TOP}V{bottom}" stroke="#dddddd"/>'
        yield text(x, bottom + 18, f"{value:.6g}", anchor="middle", size=11)
    yield text(LEFT + WIDTH / 2, bottom + 38, "score", anchor="middle")


def _row(row: Spread, top: float, limits: tuple[float, float]) -> Iterator[str]:
    yield text(LEFT - 10, top + ROW / 2 + 4, printable(row.label, LONGEST), anchor="end")
    for scores, colour, middle in (
        (row.clean, CLEAN, top + ROW / 4),
        (row.triggered, TRIGGERED, top + 3 * ROW / 4),
    ):
        if len(scores):
            yield f'<polygon points="{_outline(scores, middle, limits)}" fill="{colour}"/>'
    for threshold in row.thresholds:
        x = _across(threshold, *limits)
        yield f'<path d="M{x} {top + 2:g}v{ROW - 4}" {THRESHOLD}/>'


def _outline(scores: Tensor, middle: float, limits: tuple[float, float]) -> str:
    """A histogram and its mirror image; the fullest bin reaches ``HALF`` to either side."""
    low, high = limits
    # What has no score lies at the low end: it is never flagged.
    counts = torch.histc(scores.clamp(low, high), BINS, low, high)
    edges = torch.linspace(low, high, BINS + 1).tolist()
    above: list[tuple[float, float]] = []
    for index, share in enumerate((counts / counts.max()).tolist()):
        above += [(_across(edge, low, high), HALF * share) for edge in edges[index : index + 2]]
    there = [f"{x},{middle - y:.1f}" for x, y in above]
    back = [f"{x},{middle + y:.1f}" for x, y in reversed(above)]
    return " ".join(there + back)


def _across(value: float, low: float, high: float) -> float:
    return round(LEFT + WIDTH * (value - low) / (high - low), 1)
