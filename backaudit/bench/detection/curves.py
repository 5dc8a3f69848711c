"""The ROC curves of detectors over a zoo."""

import math
from collections.abc import Sequence

from backaudit.bench.detection.figures import Area, area, is_called, ranked
from backaudit.bench.tables.figures import count_models, is_benign
from backaudit.bench.tables.roc import Captions, Curve, picture, roc_points
from backaudit.bench.trials.results import Record
from backaudit.core.printable import counted


def curves_picture(results: Sequence[Record], methods: Sequence[str]) -> str:
    """Draw the ROC curve of each method into one SVG.

    Args:
        results: of the methods.
        methods: their names, in the order of the legend.
    """
    curves = [curve(name, [r for r in results if r["method"] == name]) for name in methods]
    captions = Captions(
        _title(results),
        across="false-alarm rate on benign models",
        up="detection rate on backdoored models",
        mark="at the shipped threshold",
    )
    return picture(curves, captions)


def curve(name: str, results: Sequence[Record]) -> Curve:
    """The ROC curve over results of one method; those without a score come last.

    Args:
        name: of the method.
        results: of benign and of backdoored models.
    """
    benign = [result for result in results if is_benign(result)]
    backdoored = [result for result in results if not is_benign(result)]
    called = [sum(map(is_called, part)) for part in (benign, backdoored)]
    at_threshold = None
    if benign and backdoored:
        at_threshold = called[0] / len(benign), called[1] / len(backdoored)
    points = tuple(roc_points(ranked(benign), ranked(backdoored)))
    return Curve(_legend(name, area(results)), points, at_threshold)


def _legend(name: str, found: Area) -> str:
    counts = f"{found.backdoored} backdoored, {found.benign} benign"
    if not math.isfinite(found.value):
        return f"{name}: no curve ({counts})"
    low, high = found.interval
    return f"{name}: AUROC {found.value:.3f} ({low:.2f}-{high:.2f}), {counts}"


def _title(results: Sequence[Record]) -> str:
    benign = [result for result in results if is_benign(result)]
    attacked = [result for result in results if not is_benign(result)]
    seeds = len({result["seed"] for result in results})
    return (
        f"ROC curves: {counted(count_models(attacked), 'backdoored model')}, "
        f"{count_models(benign)} benign, {counted(seeds, 'seed')}"
    )
