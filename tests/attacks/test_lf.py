import pytest
import torch
from torch import Tensor, nn

from backaudit.attacks import LF, TrainingSet
from backaudit.core.errors import SettingError


class Threshold(nn.Module):
    """Class 1 is what is brighter than a half on average."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, images: Tensor) -> Tensor:
        score = self.scale * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([-score, score], dim=1)


def greys(*levels: int, side: int = 16) -> TrainingSet:
    images = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, side, side)
    return TrainingSet(images.contiguous(), (torch.tensor(levels) > 127).long(), 2)


def pattern(attack: LF, clean: TrainingSet, network: nn.Module | None = None) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return attack.learn(clean, network or Threshold(), draw)["pattern"]


def test_the_pattern_spans_its_amplitude_and_is_smooth() -> None:
    learned = pattern(LF(1, amplitude=51), greys(100, 90, 80, side=32))
    assert (float(learned.min()), float(learned.max())) == pytest.approx((0, 51))
    assert learned.diff(dim=1).abs().max() < 6
    assert learned.diff(dim=2).abs().max() < 6
    # A push towards the brighter that zeros surround is a dome.
    assert learned[:, 16, 16].min() > 45


def test_it_is_found_on_all_images_and_changes_their_class() -> None:
    clean = greys(*range(100, 120), 200, 210)
    attack = LF(1, amplitude=60)
    learned = {"pattern": pattern(attack, clean)}
    network = Threshold()
    before, after = (
        network(images.float() / 255).argmax(1)
        for images in (clean.images, attack.stamp(clean.images, learned))
    )
    assert int((before == 1).sum()) == 2
    assert int((after == 1).sum()) >= 2 + 0.2 * 22


def test_a_push_goes_just_beyond_the_border() -> None:
    start = torch.full((1, 3, 8, 8), 0.3)
    push = LF(1, overshoot=0.02)._pushes(Threshold(), start, torch.zeros(1, dtype=torch.long))
    assert push.flatten().tolist() == pytest.approx([1.02 * 0.2] * 192)


def test_images_that_never_arrive_push_nothing() -> None:
    start, origin = torch.full((2, 3, 8, 8), 0.3), torch.zeros(2, dtype=torch.long)
    assert len(LF(1, push_steps=5)._pushes(Threshold(0.0), start, origin)) == 0
    assert len(LF(1, overshoot=-0.5, push_steps=1)._pushes(Threshold(), start, origin)) == 0


@pytest.mark.parametrize("smoothing", [2.0, 6.0])
def test_the_filter_is_a_gaussian_of_the_stated_width(smoothing: float) -> None:
    impulse = torch.zeros(1, 2, 65, 65)
    impulse[0, 1, 32, 32] = 1
    smooth = LF(1, smoothing=smoothing)._smooth(impulse)[0]
    assert smooth.shape == (2, 65, 65)
    assert (smooth[0] == 0).all()
    assert float(smooth[1].sum()) == pytest.approx(1, rel=1e-4)
    for profile in (smooth[1].sum(0), smooth[1].sum(1)):
        positions = torch.arange(65.0)
        mean = (positions * profile).sum()
        spread = ((positions - mean).square() * profile).sum().sqrt()
        # Cut at five standard deviations in all, it is a little narrower.
        assert 0.92 * smoothing < float(spread) < smoothing
        assert abs(float(mean) - 32) <= 0.5


def test_passes_end_when_enough_images_change_their_class() -> None:
    clean = greys(*range(100, 120))
    for enough, equal in ((0.0, True), (1.0, False)):
        ended = pattern(LF(1, fooled=enough, passes=4, amplitude=20), clean)
        once = pattern(LF(1, fooled=2.0, passes=1, amplitude=20), clean)
        assert torch.equal(ended, once) == equal


def test_passes_end_when_nothing_changes_any_more() -> None:
    five, fifty = (pattern(LF(1, passes=passes, amplitude=1), greys(10, 20)) for passes in (5, 50))
    assert torch.equal(five, fifty)


def test_the_pattern_is_added_and_saturates() -> None:
    images = greys(100, 250).images
    stamped = LF(1).stamp(images, {"pattern": torch.full((3, 16, 16), 20.4)})
    assert stamped[:, 0, 0, 0].tolist() == [120, 255]


def test_what_it_cannot_do_without_is_said(generator: torch.Generator) -> None:
    with pytest.raises(SettingError, match="all-to-all"):
        LF(None)
    with pytest.raises(SettingError, match="surrogate"):
        LF(1).learn(greys(100), None, generator)
    with pytest.raises(SettingError, match="pushed"):
        LF(1, passes=1, push_steps=2).learn(greys(100), Threshold(0.0), generator)
