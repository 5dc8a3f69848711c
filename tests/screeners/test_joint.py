import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.suspect import Suspect, as_input
from backaudit.firewall.calibration import calibrate
from backaudit.firewall.screener import FittedScreener
from backaudit.screeners import IBDPSC, STRIP, Screener
from backaudit.screeners.interface import Scorer
from backaudit.screeners.joint import Joint, JointScorer, MemberScores
from backaudit.screeners.surprise import Surprise
from tests.conftest import ToyWorld
from tests.toy import CLASSES, clean_set, suspect_of, toy_network

PSC = IBDPSC(score="margin", threshold=None)
SMALL = Joint(overlays=5)
CPU = torch.device("cpu")


@pytest.fixture
def suspect() -> Suspect:
    return suspect_of(toy_network())


def scores_of(scorer: Scorer, clean: CleanSet) -> Tensor:
    return scorer(as_input(clean.images, CPU)).scores


@dataclass(frozen=True)
class Fixed:
    """Both methods with scores that are known."""

    psc: tuple[float, ...]
    strip: tuple[float, ...]

    def __call__(self, images: Tensor) -> MemberScores:
        return MemberScores(images, torch.tensor(self.psc), torch.tensor(self.strip))


def test_the_larger_surprise_counts() -> None:
    known = Surprise.of([1.0, 2.0, 3.0, 4.0], CPU)
    thousandth = Surprise.of([0.001, 0.002, 0.003, 0.004], CPU)
    members: Any = Fixed(psc=(4.0, 1.0, 3.0), strip=(0.001, 0.004, 0.004))
    scored = JointScorer(members, known, thousandth)(torch.zeros(3, 2))
    # One of the first and none of the others; of five, two are as high as the highest.
    assert torch.allclose(scored.scores, torch.tensor(5 / 2).log10().expand(3))
    assert scored.logits.shape == (3, 2)


def test_neither_method_is_fitted_on_images_that_it_is_ranked_among(toy_world: ToyWorld) -> None:
    suspect, clean = toy_world.benign, clean_set(per_class=6)
    to_fit, ranked = clean.split()
    assert len(to_fit) == len(ranked) == 18
    fit = SMALL.fit(suspect, clean)
    strip = STRIP(overlays=5)
    assert fit["ibd-psc"] == PSC.fit(suspect, to_fit) != PSC.fit(suspect, clean)
    assert fit["strip"] == strip.fit(suspect, to_fit)
    for name, member in (("ibd-psc", PSC), ("strip", strip)):
        scorer = member.scorer(suspect.network, fit[name], to_fit.images[:1] / 255)
        expected = scores_of(scorer, ranked).sort().values.tolist()
        assert fit["references"][name] == pytest.approx(expected, abs=1e-5)
        assert len(set(fit["references"][name])) > 9


def test_each_image_gets_the_larger_surprise_of_the_methods_own_scores(suspect: Suspect) -> None:
    fit = SMALL.fit(suspect, clean_set(per_class=6))
    images = clean_set(per_class=4, seed=8)
    expected = torch.zeros(len(images.images))
    for name, member in (("ibd-psc", PSC), ("strip", STRIP(overlays=5))):
        own = member.scorer(suspect.network, fit[name], images.images[:1] / 255)
        surprise = Surprise.of(fit["references"][name], CPU)
        expected = expected.maximum(surprise(scores_of(own, images)))
    scorer = SMALL.scorer(suspect.network, fit, images.images[:1] / 255)
    assert torch.allclose(scores_of(scorer, images), expected, atol=1e-4)
    logits = scorer(images.images / 255).logits
    assert torch.allclose(logits, suspect.logits(images.images), atol=1e-5)


def test_seeds_choose_which_images_are_fitted_on_and_laid_over(suspect: Suspect) -> None:
    clean = clean_set(per_class=6)
    first, again, other = (Joint(seed=seed).fit(suspect, clean) for seed in (0, 0, 1))
    assert first == again
    assert first["strip"] == STRIP().fit(suspect, clean.split(seed=0)[0])
    assert other["strip"] == STRIP(seed=1).fit(suspect, clean.split(seed=1)[0])
    assert first["references"] != other["references"]


def test_a_fit_gives_the_same_scores_after_json(suspect: Suspect) -> None:
    fit = SMALL.fit(suspect, clean_set(per_class=6))
    read = json.loads(json.dumps(fit, allow_nan=False))
    assert read == fit
    images = clean_set(per_class=4, seed=8)
    first, second = (
        scores_of(SMALL.scorer(suspect.network, each, images.images[:1] / 255), images)
        for each in (fit, read)
    )
    assert first.dtype == torch.float32
    assert torch.equal(first, second)


def test_reports_find_what_ibd_psc_learned() -> None:
    network = toy_network(norm=partial(nn.GroupNorm, 2))
    fit = SMALL.fit(suspect_of(network), clean_set(per_class=6))
    assert fit["experimental"] is True
    for key in ("collapse_class", "collapse_share", "experimental"):
        assert fit[key] == fit["ibd-psc"][key]
    assert fit["notes"] == [f"ibd-psc: {note}" for note in fit["ibd-psc"]["notes"]]
    assert any("no batch norm" in note for note in fit["notes"])


def test_the_network_as_it_is_answers_once(
    suspect: Suspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = SMALL.fit(suspect, clean_set(per_class=6))
    images = clean_set(per_class=1).images / 255
    scorer = SMALL.scorer(suspect.network, fit, images)
    monkeypatch.delattr("backaudit.screeners.strip.logits_of")
    assert len(scorer(images).scores) == CLASSES
    assert scorer.how.startswith(
        "5 plain forward passes per image, one an overlay; one pass for all"
    )


def test_no_number_from_either_method_stays_no_number() -> None:
    known = Surprise.of([1.0, 2.0], CPU)
    members: Any = Fixed(psc=(torch.nan, 1.0), strip=(1.0, torch.nan))
    assert JointScorer(members, known, known)(torch.zeros(2, 3)).scores.isnan().all()


# Rows of the first pixels: one a class, and what triggers do.
AMPLIFIED, FRAGILE, OVERLAID = 6, 7, 8


class TwoDoors(nn.Module):
    """Two backdoors; clean images lose their class both amplified and under overlays.

    One is a bright pixel whose logit grows with amplification, but only beside a black one, which
    no overlay leaves black. The other is a pixel of one brightness, which overlays leave as it is,
    and amplification does not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3, eps=0)

    def forward(self, images: Tensor) -> Tensor:
        seen = self.norm(images)[:, 0].flatten(1)
        own = seen[:, :CLASSES]
        logits: Tensor = 4 * own * (own < 0.8).float()
        grows = 40 * seen[:, AMPLIFIED] * (seen[:, FRAGILE] < 0.1).float()
        inside, above = (seen[:, OVERLAID] - 0.8).abs() < 0.1, seen[:, OVERLAID] > 0.9
        window = 40 * inside.float() - above.float()
        doors = torch.stack([torch.zeros_like(grows), grows, window], 1)
        logits[:, :3] += doors
        return logits


def two_doors() -> Suspect:
    return suspect_of(TwoDoors())


def seen_images(count: int, seed: int) -> CleanSet:
    labels = torch.arange(CLASSES).repeat_interleave(count)
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(len(labels), 3, 12, 12)
    first = images.view(len(labels), 3, -1)[:, 0]
    first[:, :CLASSES] = 0.05 * torch.rand(len(labels), CLASSES, generator=generator)
    first[torch.arange(len(labels)), labels] += 0.55 + 0.1 * torch.rand(
        len(labels), generator=generator
    )
    first[:, FRAGILE] = 0.5
    return CleanSet((255 * images).round().to(torch.uint8), labels, True, "memory", "by index")


def triggered(pixels: dict[int, float]) -> Tensor:
    images = seen_images(10, seed=2).images.clone()
    for pixel, value in pixels.items():
        images.view(len(images), 3, -1)[:, 0, pixel] = round(255 * value)
    return images


def flagged(screener: Screener, images: Tensor) -> float:
    suspect = two_doors()
    fitted = FittedScreener.of(
        suspect, calibrate(screener, suspect, seen_images(40, seed=1), false_flag_rate=0.05)
    )
    return float(fitted(images).flagged.float().mean())


@pytest.mark.parametrize(
    ("trigger", "sees", "misses"),
    [
        ({AMPLIFIED: 0.6, FRAGILE: 0.0}, PSC, STRIP()),
        ({OVERLAID: 0.8}, STRIP(), PSC),
    ],
)
def test_what_either_method_sees_is_found(
    trigger: dict[int, float], sees: Screener, misses: Screener
) -> None:
    images = triggered(trigger)
    assert flagged(sees, images) > 0.9
    assert flagged(misses, images) < 0.2
    assert flagged(Joint(), images) > 0.9


def test_clean_images_are_flagged_no_more_than_asked_for() -> None:
    assert flagged(Joint(), seen_images(40, seed=3).images) < 0.1


def test_two_classes_are_refused() -> None:
    with pytest.raises(NotApplicableError, match=r"2 classes.*screen with strip"):
        Joint().fit(suspect_of(toy_network(classes=2), classes=2), clean_set())


@pytest.mark.parametrize("per_class", [0, 1])
def test_too_few_clean_images_are_refused(per_class: int, suspect: Suspect) -> None:
    clean = clean_set(per_class=1).take(torch.arange(CLASSES * per_class))
    with pytest.raises(NotApplicableError, match=rf"of {len(clean)} clean .* give four or more"):
        Joint().fit(suspect, clean)


def test_four_images_of_one_class_are_enough(suspect: Suspect) -> None:
    clean = clean_set(per_class=4)
    calibrated = calibrate(Joint(threshold=1.0), suspect, clean.take(clean.labels == 3))
    assert len(calibrated.fit["references"]["strip"]) == 1


def test_a_network_without_anything_to_amplify_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 12, CLASSES))
    with pytest.raises(NotApplicableError, match="no normalisation layer"):
        Joint().fit(suspect_of(network), clean_set(per_class=2))


def test_the_fit_of_another_network_is_refused(suspect: Suspect) -> None:
    fit = SMALL.fit(suspect, clean_set(per_class=2))
    with pytest.raises(NotApplicableError, match="calibrate this network"):
        SMALL.scorer(TwoDoors(), fit, torch.zeros(1, 3, 12, 12))
    with pytest.raises(NotApplicableError, match=r"\[3, 12, 12\].*\[3, 8, 8\]"):
        SMALL.scorer(suspect.network, fit, torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"overlays": 0}, "overlays must be at least 1, not 0"),
        ({"threshold": -0.1}, "at least 0, not -0.1"),
        ({"threshold": float("nan")}, "at least 0, not nan"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Joint(**settings)
