import math

from backaudit.bench.tables.figures import Share
from backaudit.bench.tables.rows import (
    attack_of,
    hits_of,
    network_of,
    number,
    percent,
    rate,
    rows_of,
    sectioned,
)
from tests.bench.made import ATTACKED, BENIGN, result


def test_names() -> None:
    assert network_of(BENIGN[0]) == "toys resnet20 w8"
    assert attack_of(BENIGN[0]) == "no attack"
    assert attack_of(ATTACKED[0]) == "badnets"
    assert attack_of(ATTACKED[3]) == "badnets all-to-all"


def test_every_result_is_in_the_row_of_its_network_and_attack() -> None:
    other = [result("c", 0.2, network="vgg16"), result("c", 0.3, method="mm-bd", network="vgg16")]
    rows = rows_of([*ATTACKED, *BENIGN, *other])
    places = [(row.network, row.attack) for row in rows]
    assert places[0] == ("toys resnet20 w8", "no attack")
    assert ("toys vgg16 w8", "no attack") in places
    assert places[-4:] == [
        *(("all networks", "no attack"), ("all networks", "badnets")),
        *(("all networks", "badnets all-to-all"), ("all networks", "wanet")),
    ]
    both = rows[places.index(("toys vgg16 w8", "no attack"))].results
    assert {method: len(results) for method, results in both.items()} == {"ban": 1, "mm-bd": 1}


def test_one_network_needs_no_sum() -> None:
    assert {row.network for row in rows_of(BENIGN)} == {"toys resnet20 w8"}


def test_lines_of_a_network_stand_below_its_name() -> None:
    lines = [("a", "x", {"": ("1",)}), ("b", "x", {"": ("2",)}), ("a", "y", {"": ("3",)})]
    labels, cells = sectioned(lines)
    assert labels == ("a", "  x", "  y", "b", "  x")
    assert [each.get("") for each in cells] == [None, ("1",), ("3",), None, ("2",)]


def test_how_figures_are_written() -> None:
    assert hits_of(Share(3, 4, 4)) == "3/4"
    assert hits_of(None) == ""
    assert rate(Share(3, 4, 4)) == "75 (30-95)"
    assert rate(Share(0, 0, 0)) == "-"
    assert (percent(0.9722), number(0.857)) == ("97.2", "0.86")
    assert (percent(math.nan), number(math.nan)) == ("-", "-")
