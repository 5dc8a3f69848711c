import math

import torch

from backaudit.bench.screening.seen import Seen
from backaudit.bench.trials.traffic import Shown
from backaudit.firewall.screen import ImageResult


def said(score: float, predicted: int, flagged: bool = False) -> ImageResult:
    return ImageResult("", score, flagged, predicted, 0.5, {}, ())


NEARLY_ONE = round(float(torch.tensor(1 - 2**-24)), 9)
SHOWN = Shown(torch.zeros(3, 1, 1, 1), torch.tensor([4, 5, 6]), torch.tensor([1, 1, 1]))
SEEN = Seen.of([said(NEARLY_ONE, 1, True), said(math.nan, 5), said(2.5, 1)], SHOWN)


def test_what_is_written_is_read_again() -> None:
    again = Seen.read(SEEN.record())
    assert again.scores.tolist() == [NEARLY_ONE, -math.inf, 2.5]
    for name in ("flagged", "predicted", "labels", "wanted"):
        assert torch.equal(getattr(again, name), getattr(SEEN, name))
    assert again.flagged.tolist() == [True, False, False]


def test_the_images_predicted_as_wanted_are_told_apart() -> None:
    assert SEEN.as_wanted().labels.tolist() == [4, 6]


def test_no_images_stay_none() -> None:
    assert len(Seen.read(SEEN.as_wanted().record())) == 2
    nothing = Seen.of([], Shown(SHOWN.images[:0], SHOWN.labels[:0], SHOWN.wanted[:0]))
    assert len(Seen.read(nothing.record())) == 0
