"""Sentences below tables: under which settings results were made, and why some are missing."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from backaudit.bench.trials.auditor import CleanSample
from backaudit.bench.trials.results import Record
from backaudit.core.printable import counted


def images_text(sample: CleanSample) -> str:
    """What an auditor was given, as ``200 labelled clean images``."""
    kind = f"{'labelled' if sample.labelled else 'unlabelled'}{' long-tailed' * sample.imbalanced}"
    return f"{sample.images} {kind} clean images"


def settings_text(method: Any) -> str:
    """The settings of a method, a dataclass, that are not those it has by itself."""
    usual = asdict(type(method)())
    other = {name: value for name, value in asdict(method).items() if value != usual[name]}
    if not other:
        return "published settings"
    return ", ".join(f"{name} {value} (usually {usual[name]})" for name, value in other.items())


def reasons(results: Iterable[Record], what: str, otherwise: str = "") -> Iterator[str]:
    """One sentence for each method and reason for which results hold nothing to count.

    Args:
        results: that hold nothing.
        what: is true of them.
        otherwise: the reason of those that give none.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for result in results:
        outcome = result["outcome"]
        why = outcome.get("reason") or outcome.get("error") or otherwise
        counts[result["method"], str(why).rstrip(".")] += 1
    for (method, why), count in sorted(counts.items()):
        yield f"{what}: {method}, {counted(count, 'result')}: {why}."
