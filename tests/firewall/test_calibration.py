from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError, SettingError, SuspectModifiedError
from backaudit.core.suspect import Suspect
from backaudit.firewall.calibration import calibrate
from backaudit.screeners.interface import Fit
from tests.firewall.toys import Bright, BrightScorer, clean_of
from tests.toy import suspect_of, toy_network

HUNDRED = list(range(1, 101))


@pytest.fixture
def suspect() -> Suspect:
    return suspect_of(toy_network())


def test_the_other_half_is_scored_and_the_own_threshold_kept(suspect: Suspect) -> None:
    made = calibrate(Bright(threshold=0.2), suspect, clean_of(HUNDRED))
    assert made.method == "bright"
    assert made.settings == {"factor": 1.0, "parts": [1, 2], "threshold": 0.2}
    assert made.fit["images"] == 100
    assert [round(255 * score) for score in made.clean_scores] == HUNDRED
    assert (made.threshold, made.threshold_source, made.false_flag_rate) == (0.2, "method", None)
    assert made.notes == ("made of nothing",)
    assert made.clean_predicted == tuple(
        suspect.logits(clean_of(HUNDRED).images[::2]).argmax(1).tolist()
    )


def test_a_rate_that_is_asked_for_sets_the_threshold(suspect: Suspect) -> None:
    made = calibrate(Bright(threshold=0.2), suspect, clean_of(HUNDRED), false_flag_rate=0.1)
    # The ceil(101 * 0.9) = 91st of 100 scores.
    assert made.threshold == pytest.approx(91 / 255)
    assert (made.threshold_source, made.false_flag_rate) == ("false-flag-rate", 0.1)


def test_without_a_threshold_of_its_own_it_is_five_percent(suspect: Suspect) -> None:
    made = calibrate(Bright(), suspect, clean_of(HUNDRED))
    assert made.false_flag_rate == 0.05
    assert made.threshold == pytest.approx(96 / 255)


def test_a_rate_takes_enough_images(suspect: Suspect) -> None:
    enough = calibrate(Bright(), suspect, clean_of(HUNDRED[:99]), false_flag_rate=0.01)
    assert enough.threshold == pytest.approx(99 / 255)
    with pytest.raises(SettingError, match=r"99 held-out .* are 98: .* 198, or ask for 1\.01%"):
        calibrate(Bright(), suspect, clean_of(HUNDRED[:98]), false_flag_rate=0.01)
    with pytest.raises(NotApplicableError, match=r"bright has no threshold of its own.*give 38"):
        calibrate(Bright(), suspect, clean_of(HUNDRED[:18]))


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_out_of_range_is_refused(suspect: Suspect, rate: float) -> None:
    with pytest.raises(SettingError, match="not between 0 and 1"):
        calibrate(Bright(), suspect, clean_of(HUNDRED), false_flag_rate=rate)


def test_without_an_image_to_hold_out_it_does_not_apply(suspect: Suspect) -> None:
    clean = clean_of(HUNDRED)
    with pytest.raises(NotApplicableError, match="no class has two clean images"):
        calibrate(Bright(), suspect, clean.take(torch.arange(0, 200, 2)))


def test_a_threshold_that_flags_nothing_is_said(suspect: Suspect) -> None:
    saturated = [*range(1, 91), *[255] * 10]
    made = calibrate(Bright(), suspect, clean_of(saturated))
    assert made.threshold == 1
    assert made.notes[-1].startswith("The threshold for a false-flag rate of 5.00% is the highest")
    assert "10 of 100 share it" in made.notes[-1]
    assert len(calibrate(Bright(threshold=1.0), suspect, clean_of(saturated)).notes) == 1


@dataclass(frozen=True)
class Meddles(Bright):
    def fit(self, suspect: Suspect, clean: CleanSet) -> Fit:
        next(suspect.network.parameters()).add_(1)
        return {}


@dataclass(frozen=True)
class Broken(Bright):
    def scorer(self, network: nn.Module, fit: Fit, example: Tensor) -> BrightScorer:
        return BrightScorer(network, float("nan"))


def test_a_screener_that_changes_the_suspect_or_gives_no_numbers_is_refused(
    suspect: Suspect,
) -> None:
    with pytest.raises(NotApplicableError, match="gives 100 of 100 clean images no finite score"):
        calibrate(Broken(), suspect, clean_of(HUNDRED))
    with pytest.raises(SuspectModifiedError):
        calibrate(Meddles(), suspect, clean_of(HUNDRED))
