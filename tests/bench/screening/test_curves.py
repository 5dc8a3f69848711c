import pytest

from backaudit.bench.screening.curves import GRID, curve, curves_picture
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


def test_attacks_with_one_target_class_alone_are_drawn() -> None:
    results = [
        screened("p", [0.1], [0.9]),
        screened("a", [0.9], [0.1], target=None),
        screened("b", [0.9]),
        without_scores("n"),
    ]
    svg = curves_picture(results, ["ibd-psc", "strip"])
    assert "mean over 1 model with one target class" in svg
    assert "ibd-psc: mean AUROC 1.000" in svg
    assert "strip: no curve" in svg
