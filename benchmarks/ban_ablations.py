"""AUROC of BAN under other conditions.

``python benchmarks/ban_ablations.py NAME=RESULTS NAME=RESULTS ...``: each RESULTS is a folder that
``backaudit bench detect ZOO`` wrote under one condition. From the records of the first one come the
readings at each single budget, too, with and without the feature mask; it needs ``--set
ban.damage=1`` so that every budget is reached. One JSON goes to standard output. Only models with
one target class count.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from backaudit.bench.detection.figures import area
from backaudit.bench.tables.figures import is_all_to_all
from backaudit.bench.trials.results import Record

BUDGETS = ("0.1", "0.2", "0.3", "0.4")
READINGS = {
    "score": "score",
    **{f"budget {budget}": f"measurements/by_budget/{budget}/share" for budget in BUDGETS},
    **{f"mask, budget {b}": f"measurements/mask/by_budget/{b}/share" for b in BUDGETS},
    **{f"gain over the mask, budget {b}": f"measurements/mask/gain/{b}" for b in BUDGETS},
    "without noise": "measurements/without_noise/share",
    "mask alone": "measurements/mask/without_noise/share",
}


def conditions(folders: Sequence[tuple[str, Path]]) -> Iterator[dict[str, Any]]:
    """One record a condition and reading: AUROC with its interval, and of how many models."""
    for position, (name, folder) in enumerate(folders):
        results = list(_records(folder))
        for reading, key in READINGS.items() if not position else [("score", "score")]:
            found = area(results, key)
            yield {
                "condition": name,
                "reading": reading,
                "auroc": round(found.value, 4),
                "interval": [round(bound, 4) for bound in found.interval],
                "benign_models": found.benign,
                "backdoored_models": found.backdoored,
            }


def _records(folder: Path) -> Iterator[Record]:
    for file in sorted(folder.glob("*.ban.seed*.json")):
        record = json.loads(file.read_text("utf-8"))
        if not is_all_to_all(record):
            yield record


if __name__ == "__main__":
    named = [text.split("=", 1) for text in sys.argv[1:]]
    print(json.dumps(list(conditions([(n, Path(folder)) for n, folder in named])), indent=1))
