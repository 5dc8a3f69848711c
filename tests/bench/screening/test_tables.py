import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from backaudit.bench.screening.attacked import attacked, average
from backaudit.bench.screening.false_flags import FalseFlags
from backaudit.bench.screening.tables import summarise
from backaudit.bench.screening.trials import Plan
from backaudit.bench.tables.summary import Summary
from backaudit.bench.trials.auditor import CleanSample
from backaudit.screeners import IBDPSC, TeCo
from tests.bench.screening.made import screened, without_scores

GOOD, BAD = [0.8, 0.9], [0.05, 0.6]
CLEAN = [0.1, 0.2]
METHODS = ("ibd-psc", "teco")
RESULTS = [
    screened("b1", [0.1, 0.6]),
    screened("b2", [0.1, 0.1]),
    screened("w1", CLEAN, BAD, attack="wanet"),
    screened("n1", CLEAN, GOOD),
    screened("n2", CLEAN, GOOD),
    screened("a1", CLEAN, [0.0, 0.0], target=None),
    screened("n1", CLEAN, BAD, method="teco"),
    without_scores("w1", "teco", "wanet"),
]


@pytest.fixture(scope="module")
def summary() -> Summary:
    plan = Plan((IBDPSC(scale=1.2), TeCo()), CleanSample())
    return summarise(RESULTS, plan, (), {"seeds": [0]})


def test_the_weakest_attack_comes_first_and_all_to_all_last() -> None:
    rows = attacked(RESULTS, METHODS)
    assert [row.attack for row in rows] == ["wanet", "badnets", "badnets all-to-all"]
    assert [row.averaged for row in rows] == [True, True, False]


def test_every_attack_counts_the_same_in_the_average() -> None:
    rows = attacked(RESULTS, METHODS)[:2]
    found = average(rows, "ibd-psc")["auroc"]
    assert found.value == pytest.approx((0.5 + 1.0) / 2)
    assert (found.models, found.interval) == (2, (0.0, 1.0))
    assert average(rows, "teco")["auroc"].value == pytest.approx(0.5)


def test_the_table_has_a_row_for_each_attack(summary: Summary) -> None:
    lines = summary.tables[0].markdown().splitlines()
    assert [line.split(" | ")[0] for line in lines[4:9]] == [
        "| **toys resnet20 w8**",
        "|   wanet",
        "|   badnets",
        "|   average of these",
        "|   badnets all-to-all",
    ]
    assert "| 1.000 (" in lines[6]
    assert lines[6].split(" | ")[5] == "2"
    assert lines[5].endswith("| - | - | - | - | - |")
    assert lines[7].split(" | ")[1].startswith("0.750 ")


def test_the_caption_says_which_settings_and_what_gave_no_scores(summary: Summary) -> None:
    notes = " ".join(summary.tables[0].notes)
    assert "ibd-psc: scale 1.2 (usually 1.5); its own threshold 0.9." in notes
    assert "teco: default settings; threshold for a false-flag rate of 5.0%." in notes
    assert "200 labelled clean images" in notes
    assert "No scores, so in no figure: teco, 1 result: no such layer." in notes


def test_false_flags_of_benign_models_by_hand() -> None:
    found = FalseFlags.of_results([*RESULTS[:2], screened("b3", [0.9, 0.9], p_value=0.001)])
    assert found is not None
    assert (found.flagged, found.of) == (3, 6)
    assert found.rate.value == pytest.approx(0.5)
    assert found.expected.interval == pytest.approx((0.01, 0.11))
    assert (found.kept, found.results) == (2, 3)


def test_flags_are_kept_to_a_rate_by_the_test_for_the_mix_it_was_promised_for() -> None:
    found = FalseFlags.of_results(
        [
            screened("b1", [0.1], p_value=0.001, mix_p_value=0.5),
            screened("b2", [0.1], p_value=0.5, mix_p_value=0.001),
            screened("b3", [0.1], p_value=0.5),
        ]
    )
    assert found is not None
    assert (found.kept, found.results) == (2, 3)


def test_the_flags_of_benign_models_alone_are_in_their_table(summary: Summary) -> None:
    lines = summary.tables[1].markdown().splitlines()
    assert "1/4" in lines[4]
    assert "5.0 (1-11)" in lines[4]
    assert lines[4].endswith("| 2/2 | - | - | - | - |")


def test_costs_are_medians_by_network(summary: Summary) -> None:
    lines = summary.tables[2].markdown().splitlines()
    assert lines[4].split(" | ")[1:5] == ["2.00", "10.00", "2.50", "5.00"]


def test_without_benign_models_their_table_is_left_out() -> None:
    plan = Plan((IBDPSC(),), CleanSample())
    made = summarise(RESULTS[3:4], plan, (), {})
    assert [table.title for table in made.tables] == [
        "Triggered images told from clean ones",
        "Time per image",
    ]


def test_without_any_scores_there_are_tables_of_nothing() -> None:
    plan = Plan((IBDPSC(),), CleanSample())
    made = summarise([without_scores("m")], plan, (), {})
    assert "no such layer" in made.markdown()


def test_the_record_holds_both_ways_to_count(summary: Summary, tmp_path: Path) -> None:
    paths = summary.write(tmp_path)
    assert {path.name for path in paths} == {
        "screen.json",
        "screen.md",
        "screen-roc.svg",
        "screen-violins-ibd-psc.svg",
        "screen-violins-teco.svg",
    }
    record = json.loads((tmp_path / "screen.json").read_text())
    (wanet, badnets, _, mean) = record["all_images"]
    assert (wanet["attack"], mean["attack"]) == ("wanet", "average")
    assert badnets["methods"]["ibd-psc"]["auroc"]["mean"] == 1.0
    assert len(record["successful_images"]) == 4
    assert record["costs"][0]["methods"]["ibd-psc"]["passes at 128"] == 2.5


def test_the_pictures_are_drawings(summary: Summary) -> None:
    for svg in summary.pictures.values():
        ElementTree.fromstring(svg)  # noqa: S314
