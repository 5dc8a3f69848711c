import tracemalloc
from collections.abc import Iterator

import pytest
import torch

from backaudit.core.errors import CalibrationError, InputError, SettingError
from backaudit.core.screening import Calibration
from backaudit.core.suspect import Suspect
from backaudit.firewall.screen import ImageBatch, screen
from backaudit.firewall.screener import FittedScreener, screener_of
from backaudit.firewall.summary import Summary
from tests.firewall.toys import SETTINGS, TOYS, Bright, calibration, lit
from tests.toy import suspect_of, toy_network


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backaudit.firewall.screener.SCREENERS", TOYS)


@pytest.fixture(scope="module")
def suspect() -> Suspect:
    return suspect_of(toy_network())


def test_a_screener_answers_bytes_and_floats_alike(suspect: Suspect) -> None:
    screener = FittedScreener.of(suspect, calibration(100 / 255))
    images = lit([0, 100, 101])
    found, again = screener(images), screener(images.float() / 255)
    assert found.scores.tolist() == pytest.approx([0, 100 / 255, 101 / 255])
    assert found.scores.dtype == torch.float32
    assert torch.equal(found.logits, suspect.logits(images))
    assert torch.equal(found.scores, again.scores)
    assert screener.how == "one pass"


def test_only_a_score_above_the_threshold_is_flagged(suspect: Suspect) -> None:
    level = float(torch.tensor(100.0) / 255)
    found = FittedScreener.of(suspect, calibration(level))(lit([99, 100, 101]))
    assert found.flagged.tolist() == [False, False, True]


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 3, 8, 8),
        torch.zeros(0, 3, 12, 12),
        torch.zeros(3, 12, 12),
        torch.zeros(2, 3, 12, 12, dtype=torch.int64),
        torch.full((2, 3, 12, 12), 255.0),
        torch.full((2, 3, 12, 12), -1.0),
        torch.full((2, 3, 12, 12), float("nan")),
    ],
)
def test_images_of_another_form_are_refused(suspect: Suspect, images: torch.Tensor) -> None:
    with pytest.raises(InputError, match="images must be"):
        FittedScreener.of(suspect, calibration())(images)


def test_settings_come_back_with_their_types() -> None:
    made = screener_of(calibration())
    assert made == Bright(1.0, (1, 2), None)


@pytest.mark.parametrize(
    ("method", "settings", "said"),
    [
        ("brigth", SETTINGS, "Did you mean 'bright'"),
        ("bright", SETTINGS | {"factor": "1"}, "bright.factor"),
        ("bright", SETTINGS | {"more": 1}, "unknown entry 'more'"),
    ],
)
def test_unknown_methods_and_settings_are_refused(
    method: str, settings: dict[str, object], said: str
) -> None:
    made = Calibration(method, settings, {}, 0.5, "method", None, (0.1,), (0,))
    with pytest.raises(CalibrationError, match=said):
        screener_of(made)


def test_results_come_in_order_with_every_screeners_score(suspect: Suspect) -> None:
    first, second = calibration(0.9), calibration(0.3, scores=(0.1,) * 4, method="dark")
    batches = [ImageBatch(("a", "b"), lit([0, 102])), ImageBatch(("c",), lit([255]))]
    a, b, c = screen([FittedScreener.of(suspect, each) for each in (first, second)], batches)
    assert [a.path, b.path, c.path] == ["a", "b", "c"]
    assert [each.flagged_by for each in (a, b, c)] == [(), ("dark",), ("bright", "dark")]
    assert [each.flagged for each in (a, b, c)] == [False, True, True]
    assert b.scores == pytest.approx({"bright": 0.4, "dark": 0.4})
    assert b.score == pytest.approx(0.4)
    assert c.predicted_class == int(suspect.logits(lit([255])).argmax())
    # Of the clean scores 0.1, 0.2, 0.3 and 0.95, all, one and none are as high.
    assert [each.p_value for each in (a, b, c)] == [1, 2 / 5, 1 / 5]


@pytest.mark.parametrize("calibrations", [(), (calibration(), calibration())])
def test_one_calibration_a_screener_is_taken(
    suspect: Suspect, calibrations: tuple[Calibration, ...]
) -> None:
    with pytest.raises(SettingError, match="one of each method"):
        screen([FittedScreener.of(suspect, each) for each in calibrations], [])


def test_only_one_batch_is_drawn_at_a_time(suspect: Suspect) -> None:
    drawn: list[int] = []

    def batches() -> Iterator[ImageBatch]:
        for number in range(3):
            drawn.append(number)
            yield ImageBatch(("a", "b"), lit([1, 2]))

    results = screen([FittedScreener.of(suspect, calibration())], batches())
    assert drawn == []
    for expected in (1, 1, 2, 2, 3, 3):
        next(results)
        assert len(drawn) == expected


def test_a_hundred_thousand_images_take_constant_memory() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4))
    suspect = suspect_of(network, classes=4)
    object.__setattr__(suspect, "image_shape", (3, 2, 2))
    generator = torch.Generator().manual_seed(0)

    def batches() -> Iterator[ImageBatch]:
        for start in range(0, 100_000, 500):
            images = torch.randint(0, 256, (500, 3, 2, 2), generator=generator)
            names = tuple(f"image {start + index}" for index in range(500))
            yield ImageBatch(names, images.to(torch.uint8))

    made = calibration(0.9, predicted=(0, 1, 1, 2))
    summary = Summary([made])
    held: list[int] = []
    tracemalloc.start()
    try:
        for number, result in enumerate(screen([FittedScreener.of(suspect, made)], batches())):
            summary.add(result)
            if result.flagged:
                summary.add_unreadable(result.path, "also counted")
            if number % 10_000 == 9_999:
                held.append(tracemalloc.get_traced_memory()[0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert summary.images == 100_000
    # 255 * 0.9 = 229.5: the 26 highest of 256 levels.
    assert summary.flagged == pytest.approx(100_000 * 26 / 256, rel=0.05)
    assert peak < 4 * 2**20
    assert held[-1] - held[1] < 2**18
