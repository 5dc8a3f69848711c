from statistics import mean
from typing import Any

import pytest

from backaudit.bench.detection.calls import calls_table, verdicts_table
from backaudit.core.rates import wilson
from tests.bench.made import ATTACKED, BENIGN, result, verdict

OTHER = [
    result("c1", 0.2, network="vgg16"),
    result("c2", None, network="vgg16"),
    result("c3", 0.8, "wanet", network="vgg16"),
]


def named(records: list[dict[str, Any]], network: str, attack: str) -> dict[str, Any]:
    (found,) = [r for r in records if (r["network"], r["attack"]) == (network, attack)]
    return found


def test_rows_by_hand() -> None:
    _, records = calls_table([*BENIGN, *ATTACKED], ["ban"])
    benign, badnets, all_to_all, wanet = (
        named(records, "toys resnet20 w8", attack)["methods"]["ban"]
        for attack in ("no attack", "badnets", "badnets all-to-all", "wanet")
    )
    assert (benign["called"]["hits"], benign["called"]["n"]) == (1, 4)
    assert (benign["right"]["rate"], benign["target"]) == (0.75, None)
    assert benign["right"]["interval"] == wilson(0.75, 4)
    assert (badnets["called"]["hits"], badnets["right"]["rate"]) == (2, 1.0)
    assert (badnets["target"]["hits"], badnets["target"]["n"]) == (1, 2)
    assert (all_to_all["called"]["hits"], all_to_all["target"]) == (1, None)
    assert (wanet["called"]["hits"], wanet["right"]["rate"]) == (0, 0.0)
    assert wanet["target"]["n"] == 0


def test_the_table_starts_with_no_attack_and_ends_with_averages() -> None:
    table, records = calls_table([*BENIGN, *ATTACKED], ["ban"])
    assert [label.strip() for label in table.labels] == [
        "toys resnet20 w8",
        "no attack",
        "badnets",
        "badnets all-to-all",
        "wanet",
        "average of the attacks",
        "average of all rows",
    ]
    cells = table.groups[0].rows
    assert cells[1:3] == (("1/4", "75 (30-95)", ""), ("2/2", "100 (34-100)", "1/2"))
    assert cells[5] == ("", "66.7", "")
    assert cells[6] == ("", "68.8", "")
    average = named(records, "toys resnet20 w8", "average of all rows")
    assert average["average_accuracy"]["ban"] == pytest.approx(mean([0.75, 1, 1, 0]))


def test_networks_are_told_apart_and_put_together() -> None:
    table, records = calls_table([*BENIGN, *ATTACKED, *OTHER], ["ban"])
    assert [label for label in table.labels if not label.startswith(" ")] == [
        "toys resnet20 w8",
        "toys vgg16 w8",
        "all networks",
    ]
    together = named(records, "all networks", "wanet")["methods"]["ban"]
    assert (together["called"]["hits"], together["called"]["n"]) == (1, 2)
    # Every row of a network and an attack counts the same, as in the paper's table.
    average = named(records, "all networks", "average of the attacks")["average_accuracy"]["ban"]
    assert average == pytest.approx(mean([1, 1, 0, 1]))


def test_what_was_not_read_is_not_called_and_listed() -> None:
    table, records = calls_table([*OTHER, result("c4", 0.1, decides=False)], ["ban"])
    benign = named(records, "toys vgg16 w8", "no attack")["methods"]["ban"]
    assert (benign["called"]["hits"], benign["not_read"]) == (0, 1)
    assert benign["right"]["rate"] == 0.5
    notes = " ".join(table.notes)
    assert "ban, 1 result: no such layer." in notes
    assert "held against a threshold" in notes


def test_each_method_has_its_columns() -> None:
    other = [each | {"method": "mm-bd"} for each in BENIGN[:2]]
    table, _ = calls_table([*BENIGN, *ATTACKED, *other], ["mm-bd", "ban"])
    assert [group.name for group in table.groups] == ["mm-bd", "ban"]
    assert [rows[1][0] for rows in (group.rows for group in table.groups)] == ["0/2", "1/4"]
    assert table.groups[0].rows[2] == ("-", "-", "-")


def test_verdicts_are_counted() -> None:
    table, records = verdicts_table(
        [
            verdict("b1", "no-evidence"),
            verdict("b2", "suspicious"),
            verdict("b3", "no-evidence"),
            verdict("a1", "backdoored", "badnets"),
            verdict("a2", "inconclusive", "badnets"),
        ]
    )
    heads, rows = table.groups[0].heads, table.groups[0].rows
    assert heads == ("backdoored", "suspicious", "no-evidence", "inconclusive", "n")
    assert rows == ((), ("0", "1", "2", "0", "3"), ("1", "0", "0", "1", "2"))
    assert (records[0]["no-evidence"], records[1]["n"]) == (2, 2)
