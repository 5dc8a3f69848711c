import json
from pathlib import Path

import pytest

from backaudit.bench.purification.costs import costs_table, points
from backaudit.bench.purification.methods import Automatic, Single
from backaudit.bench.purification.tables import summarise
from backaudit.bench.purification.trials import Plan
from backaudit.bench.tables.means import Mean
from backaudit.bench.tables.summary import Summary
from backaudit.bench.trials.auditor import CleanSample
from backaudit.purifiers import CLP, FT
from backaudit.purifiers.in_turn import in_turn
from tests.bench.purification.made import purified, without_network

METHODS = (Single(FT(epochs=5)), Single(CLP()))
RESULTS = [
    purified("b1", (0.90, 0.89)),
    purified("n1", (0.9132, 0.8996), (0.9503, 0.0148)),
    purified("n1", (0.9132, 0.9006), (0.9503, 0.7750), method="clp", seconds=0.1),
    purified("t1", (0.9342, 0.9242), (1.0, 0.0599), attack="trojan"),
    without_network("t1", "clp"),
    purified("a1", (0.90, 0.88), (0.89, 0.01), target=None),
    purified("a2", (0.90, 0.88), (0.89, 0.03), target=None, attack="wanet"),
]


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarise(RESULTS, Plan(METHODS, CleanSample(500)), (), {"seeds": [0]})


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def rows(summary: Summary, table: int) -> dict[str, list[str]]:
    lines = summary.tables[table].markdown().splitlines()[5:]
    parted = [cells(line) for line in lines if line.startswith("|")]
    return {name: values for name, *values in parted}


def test_the_columns_are_those_of_the_papers_tables(summary: Summary) -> None:
    heads = cells(summary.tables[0].markdown().splitlines()[2])
    assert heads == [
        *("model", "no defence ACC %", "no defence ASR %", "no defence n"),
        *("ft ACC %", "ft ASR %", "ft DER %", "ft n"),
        *("clp ACC %", "clp ASR %", "clp DER %", "clp n"),
    ]


def test_attacks_come_first_then_all_to_all_each_with_an_average_then_none(
    summary: Summary,
) -> None:
    lines = summary.tables[0].markdown().splitlines()[4:12]
    assert [cells(line)[0] for line in lines] == [
        "**toys resnet20 w8**",
        "badnets",
        "trojan",
        "average of these",
        "badnets all-to-all",
        "wanet all-to-all",
        "average of these",
        "no attack",
    ]


def test_figures_are_those_of_the_published_row(summary: Summary) -> None:
    found = rows(summary, 0)["badnets"]
    assert [text.split(" ")[0] for text in found] == [
        *("91.3", "95.0", "1"),
        *("90.0", "1.5", "96.1", "1"),
        *("90.1", "77.5", "58.1", "1"),
    ]


def test_a_method_that_made_no_network_has_no_figure(summary: Summary) -> None:
    assert rows(summary, 0)["trojan"][-4:] == ["-", "-", "-", "0"]
    notes = " ".join(summary.tables[0].notes)
    assert "No network, so in no figure: clp, 1 result: no such layer." in notes


def test_averages_leave_all_to_all_apart(summary: Summary) -> None:
    records = {(r["attack"], index): r for index, r in enumerate(summary.figures["effects"])}
    averages = [r["methods"] for (name, _), r in records.items() if name == "average of these"]
    assert averages[0]["ft"]["der"]["mean"] == pytest.approx((0.96095 + 0.96505) / 2)
    assert averages[0]["no defence"]["attack_success_rate"]["mean"] == pytest.approx(0.97515)
    assert averages[0]["clp"]["attack_success_rate"]["mean"] == pytest.approx(0.7750)
    assert averages[1]["ft"]["attack_success_rate"]["mean"] == pytest.approx(0.02)


def test_a_benign_model_has_an_accuracy_and_no_attack(summary: Summary) -> None:
    found = rows(summary, 0)["no attack"]
    assert found[0].startswith("90.0 (")
    assert found[3].startswith("89.0 (")
    assert found[4:7] == ["-", "-", "1"]


def test_costs_by_hand(summary: Summary) -> None:
    found = rows(summary, 1)["ft"]
    assert found[0].startswith("1.6 (")
    assert found[1] == "2.0"
    assert found[3] == "4"
    assert found[4].startswith("1.0 (")
    assert found[5:7] == ["1.0", "1"]
    assert found[7:] == ["2.0", "5/5"]
    assert rows(summary, 1)["clp"][4:] == ["-", "-", "0", "0.1", "1/2"]


def test_a_gain_is_a_drop_below_zero() -> None:
    assert points(Mean(-0.004, (-0.012, 0.004), 2)) == "-0.4 (-1.2 to 0.4)"


def test_networks_are_told_apart_and_put_together() -> None:
    other = purified("v1", (0.9, 0.8), (1.0, 0.5), network="vgg16")
    results = [*RESULTS[1:2], other]
    table, records = costs_table(results, ["ft"])
    assert [record["network"] for record in records] == [
        "toys resnet20 w8",
        "toys vgg16 w8",
        "all networks",
    ]
    assert records[-1]["backdoored"]["accuracy_drop"]["models"] == 2
    assert "On cpu, 1 thread." in table.notes


def test_the_caption_says_what_methods_had(summary: Summary) -> None:
    notes = " ".join(summary.tables[0].notes)
    assert "500 labelled clean images" in notes
    assert "1,000 clean and 900 triggered test images" in notes
    assert "ft: epochs 5 (usually 100)." in notes
    assert "clp: default settings." in notes


def test_the_caption_names_each_of_those_that_run_one_after_the_other() -> None:
    chain = in_turn([FT(epochs=5), CLP()])
    results = [purified("a", (0.9, 0.9), (1.0, 0.0), method="ft+clp")]
    made = summarise(results, Plan((Single(chain),), CleanSample()), (), {})
    notes = " ".join(made.tables[0].notes)
    assert "ft+clp: ft (epochs 5 (usually 100)), then clp (default settings)." in notes


def test_the_caption_says_what_auto_took_and_what_it_would_not_have_written() -> None:
    results = [
        purified("a", (0.9, 0.9), (1.0, 0.0), method="auto", result="purified", taken="anp"),
        purified("b", (0.9, 0.9), method="auto", result="nothing-found", taken=None),
        purified("c", (0.9, 0.5), method="auto", result="too-inaccurate", taken="anp"),
    ]
    made = summarise(results, Plan((Automatic((FT(epochs=5), CLP())),), CleanSample()), (), {})
    notes = " ".join(made.tables[0].notes)
    assert "auto, of these: ft: epochs 5 (usually 100); clp: default settings." in notes
    assert "auto took: anp (2), nothing (1);" in notes
    assert "auto: 1 result counted here would not have been written" in notes


def test_without_any_network_there_are_tables_of_nothing() -> None:
    made = summarise([without_network("m")], Plan(METHODS, CleanSample()), (), {})
    assert "no such layer" in made.markdown()
    assert "| 0/1 |" in made.markdown()


def test_it_is_written_as_json_and_as_markdown(summary: Summary, tmp_path: Path) -> None:
    assert {path.name for path in summary.write(tmp_path)} == {"purify.json", "purify.md"}
    record = json.loads((tmp_path / "purify.json").read_text())
    assert record["conditions"] == {"seeds": [0]}
    assert record["effects"][0]["methods"]["ft"]["der"]["mean"] == pytest.approx(0.96095)
    assert record["effects"][0]["methods"]["ft"]["models"]["n1"][0]["accuracy"] == 0.8996
    assert record["costs"][0]["benign"]["largest_accuracy_drop"] == pytest.approx(0.01)
