import pytest

from backaudit.core.progress import observed_by, track, under

Seen = list[tuple[str, int, int]]


def test_steps_are_told_under_a_name() -> None:
    seen: Seen = []
    with observed_by(lambda *told: seen.append(told)), under("1 of 2"):
        list(track(["a"], "training"))
    assert seen == [("1 of 2: training", 0, 1), ("1 of 2: training", 1, 1)]


def test_a_step_that_was_broken_off_is_closed() -> None:
    seen: Seen = []
    with observed_by(lambda *told: seen.append(told)):
        with pytest.raises(ZeroDivisionError), under("1 of 2"):
            for _ in track(range(5), "training"):
                raise ZeroDivisionError
        list(track(["a"], "models"))
    assert seen[:2] == [("1 of 2: training", 0, 5), ("1 of 2: training", 5, 5)]
    assert seen[2] == ("models", 0, 1)


def test_without_an_observer_nothing_happens() -> None:
    with under("1 of 2"):
        assert list(track([1, 2], "training")) == [1, 2]
