"""Thresholds from benign models: ``python -m backaudit.bench.detection.calibration``.

Its arguments are ``ZOO OUT NAME=DATA.npz ...``. Every benign model of the folder ZOO is scanned as
a user would scan it, by every detector that judges models, and once more with its batch norm folded
into the convolutions, if that leaves none: noise needs a calibration of its own there. The
threshold of a detector is far enough above all their scores that another benign model should stay
below it. OUT receives ``calibration.json``, which ships inside the package, and
``benign-models.json``, what it rests on.
"""

import json
import logging
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backaudit.audit import scan
from backaudit.bench.data.datasets import Dataset, from_npz, generated_signs
from backaudit.bench.trials.auditor import CleanSample, hand_over
from backaudit.bench.zoo.manifest import read_cards
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import SettingError
from backaudit.core.evidence import Evidence
from backaudit.core.rates import wilson
from backaudit.core.suspect import Suspect
from backaudit.core.verdict import MODEL_LEVEL
from backaudit.detectors import DETECTORS
from backaudit.detectors.ban import BAN
from backaudit.detectors.calibration import calibration_name
from backaudit.detectors.coverage import noise_variant
from backaudit.detectors.interface import Detector
from backaudit.detectors.targeted_noise import TargetedNoise
from backaudit.nets.folding import folded
from backaudit.nets.layers import batch_norms
from backaudit.nets.noise import BATCH_NORM, RENORMALISED

log = logging.getLogger(__name__)

CLEAN_IMAGES = 200
NOISY = (BAN.rule.name, TargetedNoise.rule.name)
"""Detectors to which it matters where a network has batch norm."""
FEWEST = 3
"""Benign models: leaving one out, the others must still have a standard deviation."""


def benign_scores(
    zoo: Path, datasets: Mapping[str, Dataset], detectors: Sequence[Detector]
) -> list[dict[str, Any]]:
    """Scan every benign model of ``zoo``; one record a model: recipe, accuracy and scores.

    Args:
        zoo: folder of checkpoints with their cards.
        datasets: the data sets of the recipes, by name.
        detectors: what to scan with.
    """
    records = []
    for card in read_cards(zoo):
        recipe = card["recipe"]
        if recipe["attack"] is not None or recipe["dataset"] not in datasets:
            continue
        scores = _scores(zoo / card["file"], datasets[recipe["dataset"]], detectors)
        log.info("%s %s", recipe["name"], scores)
        accuracy = card["clean_accuracy"]
        records.append({"recipe": recipe, "clean_accuracy": accuracy, "scores": scores})
    return records


def thresholds(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Choose each detector's thresholds from its benign scores, and count its false alarms.

    The false alarms are counted leaving one out: each model against the threshold that the others
    would have set.

    Raises:
        SettingError: if a detector read fewer than three models.
    """
    names = sorted({name for record in records for name in record["scores"]})
    return {
        name: _calibrated([r["scores"][name] for r in records if name in r["scores"]], _of(name))
        for name in names
    }


def _of(name: str) -> str:
    """What sets the benign models of a calibration apart, as the report says it."""
    variant = name.partition(":")[2]
    return " without batch norm, where noise shows less" if variant == RENORMALISED else ""


def _calibrated(scores: Sequence[float], of: str) -> dict[str, Any]:
    if len(scores) < FEWEST:
        raise SettingError(
            f"a threshold takes the scores of {FEWEST} benign models or more, of which there are "
            f"{len(scores)}; train others, such as `backaudit zoo train --preset calibration`"
        )
    chosen = limits(scores)
    left_out = [[*scores[:index], *scores[index + 1 :]] for index in range(len(scores))]
    alarms = sum(
        score >= limits(rest)["threshold"] for score, rest in zip(scores, left_out, strict=True)
    )
    low, high = wilson(alarms / len(scores), len(scores))
    return {
        **chosen,
        "benign_scores": [round(score, 4) for score in sorted(scores)],
        "provenance": (
            f"from {len(scores)} benign models{of}; leaving one out, {alarms} of them would be a "
            f"false alarm (95% interval {low:.0%} to {high:.0%}), by a rule chosen on the same "
            "models."
        ),
    }


def limits(scores: Sequence[float]) -> dict[str, float]:
    """Scores from which a detector leans, fires and may decide alone, from benign ``scores``.

    They lie 2, 4 and 6 standard deviations above the mean, the last two in any case 5 % and 50 %
    above the highest. A lone reading must be rarer than one that another supports.
    """
    mean, deviation, highest = statistics.mean(scores), statistics.stdev(scores), max(scores)
    return {
        "lean": round(mean + 2 * deviation, 3),
        "threshold": round(max(mean + 4 * deviation, 1.05 * highest), 3),
        "strong": round(max(mean + 6 * deviation, 1.5 * highest), 3),
    }


def _scores(checkpoint: Path, data: Dataset, detectors: Sequence[Detector]) -> dict[str, float]:
    """Scores of the detectors that could read the model, with 200 of its test images."""
    drawn = CleanSample(CLEAN_IMAGES).draw(data, seed=0)
    suspect, clean = hand_over(checkpoint, drawn)
    scores = _scanned(suspect, clean, detectors)
    if not batch_norms(suspect.network):
        return scores
    without = folded(suspect.network)
    if not batch_norms(without):
        noisy = tuple(each for each in detectors if each.rule.name in NOISY)
        scores |= _scanned(replace(suspect, network=without), clean, noisy)
    return scores


def _scanned(suspect: Suspect, clean: CleanSet, detectors: Sequence[Detector]) -> dict[str, float]:
    """Scores by the names of the calibrations that they are held against."""
    found = {}
    for run in scan(suspect, clean, detectors).runs:
        if isinstance(run.outcome, Evidence):
            kind = run.outcome.measurements.get("noise_on", BATCH_NORM)
            found[calibration_name(run.rule.name, noise_variant(kind))] = run.outcome.score
    return found


def main(zoo: Path, out: Path, named_files: Sequence[str]) -> None:
    """Scan the benign models of ``zoo`` and write the calibration into the folder ``out``."""
    files = dict(text.split("=", 1) for text in named_files)
    datasets = {"signs": generated_signs(train_per_class=1)}
    datasets |= {name: from_npz(Path(file)) for name, file in files.items()}
    judging = (each for each in DETECTORS.values() if each.rule.id.startswith(MODEL_LEVEL))
    records = benign_scores(zoo, datasets, tuple(each() for each in judging))
    out.mkdir(parents=True, exist_ok=True)
    _write(records, out / "benign-models.json")
    _write(thresholds(records), out / "calibration.json")


def _write(content: object, path: Path) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
