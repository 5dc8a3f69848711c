import json
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from backaudit.bench.tables.layout import Columns, FigureTable
from backaudit.bench.tables.summary import Summary
from backaudit.bench.trials.selection import LeftOut

LEFT_OUT = [
    LeftOut(
        {
            "recipe": {"name": name, "attack": "wanet"},
            "attack_success_rate": 0.41,
            "clean_accuracy": 0.8,
        },
        "the attack did not take",
    )
    for name in ("weak-1", "weak-2")
]
TABLE = FigureTable("Seconds", "model", ("m1",), (Columns("strip", ("s",), (("2.0",),)),))
SUMMARY = Summary(
    "screen",
    (TABLE,),
    {"seconds": {"m1": float("nan")}},
    LEFT_OUT,
    {"seeds": (0,)},
    {"roc": "<svg/>"},
)


def test_models_that_are_left_out_are_named_with_their_success_rate() -> None:
    assert list(SUMMARY.sentences()) == ["Left out: weak-1, weak-2: the attack did not take."]
    assert SUMMARY.record()["left_out"][0]["attack_success_rate"] == 0.41
    console = Console(width=100)
    with console.capture() as capture:
        console.print(SUMMARY)
    assert "Left out: weak-1" in capture.get()
    assert "Left out: weak-1" in SUMMARY.markdown()


def test_files_of_an_earlier_call_are_replaced(tmp_path: Path) -> None:
    replace(SUMMARY, tables=(), pictures={"roc": "earlier"}).write(tmp_path / "results")
    paths = SUMMARY.write(tmp_path / "results")
    assert [path.name for path in paths] == ["screen.json", "screen.md", "screen-roc.svg"]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == sorted(
        path.name for path in paths
    )
    record = json.loads(paths[0].read_text())
    assert record["conditions"] == {"seeds": [0]}
    assert record["seconds"] == {"m1": None}
    assert paths[1].read_text().startswith("## Seconds")
    assert paths[2].read_text() == "<svg/>"
