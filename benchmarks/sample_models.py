"""Scan every sample model under five seeds: verdicts, classes and scores, as a table and as JSON.

Run from a source checkout: ``python benchmarks/sample_models.py [--output FILE.json]``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from backaudit import DETECTORS, Audit, Evidence, load, scan

SEEDS = range(5)
SAMPLES = Path(__file__).parents[1] / "sample_models"


def main() -> None:
    """Scan, print a line an audit, and write all of them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    output = parser.parse_args().output
    records = []
    for card_file in sorted(SAMPLES.glob("*.json")):
        card = json.loads(card_file.read_text())
        suspect, clean = load(SAMPLES / card["file"], SAMPLES / "clean")
        detectors = [make() for name, make in DETECTORS.items() if name != "ibd-psc"]
        for seed in SEEDS:
            record = _record(card, seed, scan(suspect, clean, detectors, seed=seed))
            records.append(record)
            print(*record.values(), sep="  ")
    if output is not None:
        output.write_text(json.dumps(records, indent=1) + "\n")


def _record(card: dict[str, Any], seed: int, audit: Audit) -> dict[str, Any]:
    scores = {
        run.rule.name: round(run.outcome.score, 3)
        for run in audit.runs
        if isinstance(run.outcome, Evidence)
    }
    return {
        "model": card["recipe"]["name"],
        "seed": seed,
        "true_target": card.get("target_class"),
        "verdict": audit.judgement.verdict,
        "target_classes": audit.judgement.target_classes,
        "scores": scores,
    }


if __name__ == "__main__":
    main()
