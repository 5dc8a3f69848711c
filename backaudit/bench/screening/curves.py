"""The ROC curve of each screener, as the mean over attacks of its mean curve over their models."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from backaudit.bench.screening.figures import Figures, is_screened, seen
from backaudit.bench.tables.figures import by_model, count_models, is_all_to_all, is_benign
from backaudit.bench.tables.means import average_of
from backaudit.bench.tables.roc import Captions, Curve, picture, roc_points
from backaudit.bench.tables.rows import attack_of
from backaudit.bench.trials.results import Record
from backaudit.core.printable import counted

GRID = np.linspace(0, 1, 101)


def curves_picture(
    results: Sequence[Record], methods: Sequence[str], *, only_successful: bool = False
) -> str:
    """Draw a curve for each screener, over the attacks with one target class, into one SVG.

    Args:
        results: of the screeners.
        methods: their names, in the order of the legend.
        only_successful: which images count, see ``seen``.
    """
    own = [
        result
        for result in results
        if is_screened(result) and not is_benign(result) and not is_all_to_all(result)
    ]
    attacks = counted(len({attack_of(result) for result in own}), "attack")
    models = counted(count_models(own), "model")
    captions = Captions(
        title=f"Triggered images, mean over {attacks} with one target class ({models})",
        across="share of clean images flagged",
        up="share of triggered images flagged",
        mark="at the threshold",
    )
    curves = [
        curve(name, [r for r in own if r["method"] == name], only_successful=only_successful)
        for name in methods
    ]
    return picture(curves, captions)


def curve(name: str, results: Sequence[Record], *, only_successful: bool = False) -> Curve:
    """The mean curve of one screener: of the hits at the same share of false flags.

    Each attack counts the same, and of an attack each model: the legend's area and the mark are
    the table's averages over all networks.
    """
    by_attack: dict[str, list[Record]] = {}
    for result in results:
        by_attack.setdefault(attack_of(result), []).append(result)
    measure = partial(Figures.of, only_successful=only_successful)
    means = {attack: measure(own).means for attack, own in by_attack.items()}
    area, false, found = (
        average_of({attack: each[figure] for attack, each in means.items()}).value
        for figure in ("auroc", "fpr", "tpr")
    )
    if not math.isfinite(area):
        return Curve(f"{name}: no curve", ())
    hits = partial(_hits, only_successful=only_successful)
    attacks = [
        np.mean([np.mean(seeds, axis=0) for seeds in models.values()], axis=0)
        for models in (by_model(own, hits) for own in by_attack.values())
        if models
    ]
    points = ((0.0, 0.0), *zip(GRID.tolist(), np.mean(attacks, axis=0).tolist(), strict=True))
    return Curve(f"{name}: mean AUROC {area:.3f}", points, (false, found))


def _hits(result: Record, *, only_successful: bool) -> list[float] | None:
    """Share of the triggered images that is found at each share of false flags."""
    clean = seen(result, "clean", only_successful=only_successful)
    triggered = seen(result, "triggered", only_successful=only_successful)
    if not clean or not triggered:
        return None
    points = list(roc_points(clean.scores.tolist(), triggered.scores.tolist()))
    across, up = zip(*points, strict=True)
    # Of several points above one another, the highest: interpolation takes the last.
    found: list[float] = np.interp(GRID, across, up).tolist()
    return found
