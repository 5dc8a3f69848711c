"""Everything that is said about the results of a benchmark of detectors.

For a figure that no table holds, from a folder of results::

    results = [r for r in read_results(Path("results")) if r["method"] == "ban"]
    area(results, "measurements/mask/gain/0.3").value
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from backaudit.bench.calls import calls_table, verdicts_table
from backaudit.bench.figures import area, count_models, is_benign, score_of
from backaudit.bench.layout import FigureTable, escaped
from backaudit.bench.results import Record, read_results
from backaudit.bench.roc import curve, picture
from backaudit.bench.rows import attack_of, network_of
from backaudit.bench.scores import scores_table
from backaudit.bench.selection import LeftOut
from backaudit.bench.trial import SCAN
from backaudit.bench.writing import write_whole
from backaudit.core.printable import counted, printable
from backaudit.reports.plain import SCHEMA_VERSION, dumped, finite, versions

__all__ = ["Summary", "area", "attack_of", "network_of", "read_results", "score_of", "summarise"]


@dataclass(frozen=True)
class Summary:
    """Tables, records and a picture of one set of results.

    Args:
        tables: in the order in which they are read.
        record: the same figures, JSON-ready.
        left_out: which models the benchmark is made without, a sentence for each reason.
        picture: ROC curves as SVG.
    """

    tables: tuple[FigureTable, ...]
    record: dict[str, Any]
    left_out: tuple[str, ...]
    picture: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the tables out below each other."""
        yield from self.tables
        for sentence in self.left_out:
            yield Text(printable(sentence, 2000))

    def markdown(self) -> str:
        """The tables for a repository or a job summary."""
        sentences = [f"* {escaped(sentence)}" for sentence in self.left_out]
        return "\n".join([*(table.markdown() for table in self.tables), *sentences, ""])

    def write(self, folder: Path) -> list[Path]:
        """Write ``detect.json``, ``detect.md``, ``detect-roc.svg`` in the place of earlier ones."""
        contents = {
            "detect.json": dumped(self.record),
            "detect.md": self.markdown(),
            "detect-roc.svg": self.picture,
        }
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_whole(folder / name, content.encode())
        return [folder / name for name in contents]


def summarise(
    results: Sequence[Record],
    methods: Sequence[str],
    left_out: Sequence[LeftOut],
    conditions: dict[str, Any],
) -> Summary:
    """Make the tables.

    Args:
        results: of the methods, and of the whole scan if it was made.
        methods: names of the detectors, in the order of the columns.
        left_out: models that the benchmark is made without.
        conditions: under which all results were made, for the record.
    """
    own = [result for result in results if result["method"] in methods]
    calls, call_records = calls_table(own, methods)
    scores, score_records = scores_table(own, methods)
    tables = [calls, scores]
    whole = [result for result in results if result["method"] == SCAN]
    verdict_records: list[dict[str, Any]] = []
    if whole:
        verdicts, verdict_records = verdicts_table(whole)
        tables.insert(1, verdicts)
    record = {
        "schema_version": SCHEMA_VERSION,
        "conditions": conditions,
        "calls": call_records,
        "verdicts": verdict_records,
        "scores": score_records,
        "left_out": [_left_out_record(each) for each in left_out],
        "versions": versions(),
    }
    curves = [curve(name, [r for r in own if r["method"] == name]) for name in methods]
    return Summary(
        tuple(tables), finite(record), tuple(_sentences(left_out)), picture(curves, _title(own))
    )


def _title(results: Sequence[Record]) -> str:
    benign = [result for result in results if is_benign(result)]
    attacked = [result for result in results if not is_benign(result)]
    seeds = len({result["seed"] for result in results})
    return (
        f"ROC curves: {counted(count_models(attacked), 'backdoored model')}, "
        f"{count_models(benign)} benign, {counted(seeds, 'seed')}"
    )


def _sentences(left_out: Sequence[LeftOut]) -> Iterator[str]:
    for reason in dict.fromkeys(each.reason for each in left_out):
        names = [each.card["recipe"]["name"] for each in left_out if each.reason == reason]
        yield f"Left out: {', '.join(names)}: {reason}."


def _left_out_record(left_out: LeftOut) -> dict[str, Any]:
    card = left_out.card
    return {
        "model": card["recipe"]["name"],
        "reason": left_out.reason,
        "attack": card["recipe"]["attack"],
        "attack_success_rate": card.get("attack_success_rate"),
        "clean_accuracy": card["clean_accuracy"],
    }
