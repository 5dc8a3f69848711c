import json
from pathlib import Path

from rich.console import Console

from backaudit.bench.selection import LeftOut
from backaudit.bench.tables import Summary, area, read_results, score_of, summarise
from tests.bench.made import ATTACKED, BENIGN, result, verdict

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
CONDITIONS = {"seeds": (0,)}


def summary(*more: dict[str, object]) -> Summary:
    results = [*BENIGN, *ATTACKED, *more]
    return summarise(results, ["ban"], LEFT_OUT, CONDITIONS)


def test_a_verdict_table_only_where_there_are_verdicts() -> None:
    assert [table.title for table in summary().tables] == [
        "Calls at the shipped thresholds",
        "Scores and thresholds",
    ]
    with_scan = summary(verdict("b1", "no-evidence"))
    assert with_scan.tables[1].title == "Verdicts of the whole scan"
    assert with_scan.tables[0] == summary().tables[0]


def test_models_that_are_left_out_are_named_with_their_success_rate() -> None:
    made = summary()
    assert made.left_out == ("Left out: weak-1, weak-2: the attack did not take.",)
    assert made.record["left_out"][0]["attack_success_rate"] == 0.41
    console = Console(width=100)
    with console.capture() as capture:
        console.print(made)
    assert "Left out: weak-1" in capture.get()
    assert "Left out: weak-1" in made.markdown()


def test_files_of_an_earlier_call_are_replaced(tmp_path: Path) -> None:
    for _ in range(2):
        paths = summary().write(tmp_path / "results")
    assert [path.name for path in paths] == ["detect.json", "detect.md", "detect-roc.svg"]
    record = json.loads(paths[0].read_text())
    assert record["conditions"] == {"seeds": [0]}
    assert {"calls", "scores", "verdicts", "versions"} <= record.keys()
    assert paths[1].read_text().startswith("## Calls at the shipped thresholds")
    assert "4 backdoored models, 4 benign, 1 seed" in paths[2].read_text()
    assert list(read_results(tmp_path / "results")) == []


def test_any_measurement_of_a_folder_of_results_can_be_tried_as_a_score(tmp_path: Path) -> None:
    for index, (attack, gain) in enumerate(((None, 0.1), (None, 0.2), ("wanet", 0.3))):
        made = result(f"m{index}", 0.0, attack, measurements={"gain": gain})
        (tmp_path / f"m{index}.ban.seed0.json").write_text(json.dumps(made | {"identity": {}}))
    results = list(read_results(tmp_path))
    assert [score_of(each, "measurements/gain") for each in results] == [0.1, 0.2, 0.3]
    assert area(results, "measurements/gain").value == 1.0
    assert area(results).value == 0.5
