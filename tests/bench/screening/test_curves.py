import pytest

from backaudit.bench.screening.attacked import attacked, average
from backaudit.bench.screening.curves import GRID, curve, curves_picture
from backaudit.bench.tables.rows import ALL
from tests.bench.screening.made import screened, without_scores


def test_a_mean_curve_by_hand() -> None:
    perfect = screened("p", [0.1, 0.2], [0.8, 0.9])
    chance = screened("c", [0.4, 0.4], [0.4, 0.4])
    made = curve("ibd-psc", [perfect, chance])
    points = dict(made.points)
    # One model finds all at no false flag, the other as many as it flags falsely.
    assert points[0.0] == 0.5
    assert points[GRID.tolist()[50]] == pytest.approx(0.75)
    assert points[1.0] == 1.0
    assert made.legend == "ibd-psc: mean AUROC 0.750"
    assert made.marked == (0.0, 0.5)


def test_seeds_of_a_model_count_as_one_model() -> None:
    perfect = [screened("p", [0.1, 0.2], [0.8, 0.9], seed=seed) for seed in (0, 1, 2)]
    chance = screened("c", [0.4, 0.4], [0.4, 0.4])
    assert dict(curve("m", [*perfect, chance]).points)[0.0] == 0.5


def test_an_attack_of_many_models_counts_once_as_in_the_tables_average() -> None:
    perfect = [screened(name, [0.1, 0.2], [0.8, 0.9]) for name in ("p", "q", "r")]
    chance = screened("c", [0.4, 0.4], [0.4, 0.4], attack="wanet", network="vgg16")
    made = curve("ibd-psc", [*perfect, chance])
    assert dict(made.points)[0.0] == 0.5
    assert made.marked == (0.0, 0.5)
    rows = [row for row in attacked([*perfect, chance], ["ibd-psc"]) if row.network == ALL]
    assert average(rows, "ibd-psc")["auroc"].value == 0.75
    assert made.legend == "ibd-psc: mean AUROC 0.750"


def test_curves_are_of_the_images_that_the_table_counts() -> None:
    results = [
        screened("m", [0.1, 0.2], [0.8, 0.05], hits=[True, False]),
        screened("none", [0.1], [0.9], hits=[False]),
    ]
    every, hits = (curve("m", results, only_successful=only) for only in (False, True))
    assert every.legend == "m: mean AUROC 0.750"
    assert hits.legend == "m: mean AUROC 1.000"
    assert dict(hits.points)[0.0] == 1.0
    assert curve("m", results[1:], only_successful=True).points == ()


def test_attacks_with_one_target_class_alone_are_drawn() -> None:
    results = [
        screened("p", [0.1], [0.9]),
        screened("q", [0.1], [0.9]),
        screened("a", [0.9], [0.1], target=None),
        screened("b", [0.9]),
        without_scores("n"),
    ]
    svg = curves_picture(results, ["ibd-psc", "strip"])
    assert "mean over 1 attack with one target class (2 models)" in svg
    assert "ibd-psc: mean AUROC 1.000" in svg
    assert "strip: no curve" in svg
