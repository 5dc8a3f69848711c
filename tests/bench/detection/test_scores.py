import math

import pytest

from backaudit.bench.detection.figures import Area
from backaudit.bench.detection.scores import area_text, scores_table
from backaudit.core.rates import wilson
from tests.bench.made import ATTACKED, BENIGN, result

RESULTS = [*BENIGN, *ATTACKED]


def test_figures_by_hand() -> None:
    _, (record,) = scores_table(RESULTS, ["ban"])
    assert record["method"] == "ban"
    areas = {name: each["auroc"] for name, each in record["auroc"].items()}
    assert areas == pytest.approx(
        {
            "all attacks": 13 / 16,
            "one target class": 9 / 12,
            "badnets": 7 / 8,
            "badnets all-to-all": 1.0,
            "wanet": 2 / 4,
        }
    )
    assert record["auroc"]["badnets"]["backdoored_models"] == 2
    assert record["auroc"]["badnets"]["benign_models"] == 4
    assert record["f1"] == pytest.approx(6 / 8)
    assert (record["false_alarms"]["hits"], record["false_alarms"]["n"]) == (1, 4)
    assert record["false_alarms"]["interval"] == wilson(0.25, 4)
    assert record["median_seconds"] == 2.0


def test_the_table_says_on_how_many_models_each_figure_rests() -> None:
    table, _ = scores_table(RESULTS, ["ban"])
    shown = dict(zip(table.labels, (cells[0] for cells in table.groups[0].rows), strict=True))
    assert shown["AUROC, all attacks"].startswith("0.812 (")
    assert shown["AUROC, all attacks"].endswith("n=4")
    assert shown["AUROC, wanet"].endswith("n=1")
    assert shown["false alarms"] == "1/4"
    assert "8 models, of them 4 benign" in table.notes[0]


def test_without_backdoored_models_there_is_no_area() -> None:
    table, (record,) = scores_table(BENIGN, ["ban"])
    assert table.groups[0].rows[0] == ("-",)
    assert record["auroc"]["all attacks"]["interval"] is None


def test_a_detector_that_read_no_model_took_no_time() -> None:
    table, (record,) = scores_table([result("b1", None), result("a1", None, "badnets")], ["ban"])
    shown = dict(zip(table.labels, (cells[0] for cells in table.groups[0].rows), strict=True))
    assert shown["seconds (median)"] == "-"
    assert math.isnan(record["median_seconds"])


def test_how_an_area_is_written() -> None:
    assert area_text(Area(0.9876, (0.912, 0.997), 5, 3)) == "0.988 (0.91-1.00) n=3"
    assert area_text(Area(math.nan, (0, 1), 5, 0)) == "-"
