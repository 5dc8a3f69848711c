import json
from pathlib import Path

from backaudit.bench.detection.figures import area
from backaudit.bench.detection.tables import summarise
from backaudit.bench.tables.figures import score_of
from backaudit.bench.tables.summary import Summary
from backaudit.bench.trials.results import read_results
from tests.bench.made import ATTACKED, BENIGN, result, verdict

CONDITIONS = {"seeds": (0,)}


def summary(*more: dict[str, object]) -> Summary:
    results = [*BENIGN, *ATTACKED, *more]
    return summarise(results, ["ban"], [], CONDITIONS)


def test_a_verdict_table_only_where_there_are_verdicts() -> None:
    assert [table.title for table in summary().tables] == [
        "Calls at the shipped thresholds",
        "Scores and thresholds",
    ]
    with_scan = summary(verdict("b1", "no-evidence"))
    assert with_scan.tables[1].title == "Verdicts of the whole scan"
    assert with_scan.tables[0] == summary().tables[0]


def test_the_files_hold_the_tables_and_no_file_is_taken_for_a_result(tmp_path: Path) -> None:
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
