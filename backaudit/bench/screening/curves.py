"""The ROC curve of each screener, as the mean of its curves over backdoored models."""

import math
from collections.abc import Sequence

import numpy as np

from backaudit.bench.screening.figures import Figures, is_screened, seen
from backaudit.bench.tables.figures import by_model, count_models, is_all_to_all, is_benign
from backaudit.bench.tables.roc import Captions, Curve, Point, picture, roc_points
from backaudit.bench.trials.results import Record
from backaudit.core.printable import counted

GRID = np.linspace(0, 1, 101)


def curves_picture(results: Sequence[Record], methods: Sequence[str]) -> str:
    """Draw a curve for each screener, over the attacks with one target class, into one SVG.

    Args:
        results: of the screeners.
        methods: their names, in the order of the legend.
    """
    own = [
        result
        for result in results
        if is_screened(result) and not is_benign(result) and not is_all_to_all(result)
    ]
    models = counted(count_models(own), "model")
    title = f"Triggered images, mean over {models} with one target class"
    captions = Captions(
        title,
        across="share of clean images flagged",
        up="share of triggered images flagged",
        mark="at the threshold",
    )
    curves = [curve(name, [r for r in own if r["method"] == name]) for name in methods]
    return picture(curves, captions)


def curve(name: str, results: Sequence[Record]) -> Curve:
    """The mean curve of one screener: of each model's hits, at the same share of false flags."""
    figures = Figures.of(results).means
    area = figures["auroc"].value
    if not math.isfinite(area):
        return Curve(f"{name}: no curve", ())
    seeds = by_model(results, _hits).values()
    hits = np.mean([np.mean(each, axis=0) for each in seeds], axis=0)
    points = ((0.0, 0.0), *zip(GRID.tolist(), hits.tolist(), strict=True))
    marked: Point = figures["fpr"].value, figures["tpr"].value
    return Curve(f"{name}: mean AUROC {area:.3f}", points, marked)


def _hits(result: Record) -> list[float]:
    """Share of the triggered images that is found at each share of false flags."""
    clean, triggered = seen(result, "clean"), seen(result, "triggered")
    if clean is None or triggered is None:
        raise ValueError(f"{result['model']} has no triggered images")
    points = list(roc_points(clean.scores.tolist(), triggered.scores.tolist()))
    across, up = zip(*points, strict=True)
    # Of several points above one another, the highest: interpolation takes the last.
    found: list[float] = np.interp(GRID, across, up).tolist()
    return found
