"""Sentences below tables: what results were made with and where, and why some are missing."""

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
        return "default settings"
    return ", ".join(f"{name} {value} (usually {usual[name]})" for name, value in other.items())


def intervals_text(of_images: str) -> str:
    """What the intervals of ``mean_over``, and of averages of its means, say.

    Args:
        of_images: how the interval of each figure of one model is found.
    """
    return (
        f"95 % intervals: the wider of what other images of one model would change ({of_images}) "
        "and, for several models, what other models would (Student's t); of an average, what other "
        "attacks would."
    )


def range_text(counts: Iterable[int]) -> str:
    """The least and the most, as ``500 to 1,000``, or the one number that all are."""
    ordered = sorted(counts) or [0]
    low, high = ordered[0], ordered[-1]
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def machines_text(results: Iterable[Record]) -> str:
    """What computed, as ``cpu, 2 threads``.

    Args:
        results: of trials whose model could be loaded.
    """
    found = {(result["device"], result["threads"]) for result in results}
    named = sorted(f"{device}, {counted(threads, 'thread')}" for device, threads in found)
    return "; ".join(named) or "no machine yet"


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
