import json
from math import log

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import NotApplicableError
from backaudit.core.suspect import Preprocessing, Suspect, batch_size
from backaudit.nets.normalised import Normalised
from backaudit.screeners.strip import STRIP
from tests.screeners.small import OnePixel, clean_pixels, pixels
from tests.toy import clean_set, suspect_of, toy_network

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def normalised_suspect() -> tuple[Suspect, nn.Module]:
    """A suspect that normalises, and the network inside that gets normalised images."""
    inner = toy_network()
    suspect = suspect_of(Normalised(inner, MEAN, STD))
    preprocessing = Preprocessing((12, 12), MEAN, STD, "made", "made so")
    return Suspect(**{**vars(suspect), "preprocessing": preprocessing}), inner


def entropies(logits: Tensor) -> Tensor:
    chances = logits.double().softmax(1)
    return -(chances * chances.log()).sum(1)


def test_overlays_are_added_to_normalised_images_as_published() -> None:
    suspect, inner = normalised_suspect()
    clean, images = clean_set(per_class=3), clean_set(per_class=1, seed=8).images / 255
    screener = STRIP(overlays=len(clean))
    scored = screener.scorer(suspect.network, screener.fit(suspect, clean), images)(images)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    expected = torch.zeros(len(images), dtype=torch.float64)
    for overlay in clean.images / 255:
        mixed = (images - mean) / std + 0.5 * (overlay - mean) / std
        expected += entropies(inner(mixed)) / len(clean)
    assert torch.allclose(scored.scores.double(), -expected, atol=1e-5)
    assert torch.allclose(scored.logits, suspect.network(images))


def test_pixels_are_added_and_clipped_if_asked_for() -> None:
    suspect = suspect_of(OnePixel(steepness=4.0), classes=2)
    screener = STRIP(overlays=2, weight=1.0, mixing="pixels")
    fit = screener.fit(suspect, clean_pixels([51, 153], [0, 1]))
    images = pixels(0.3)
    # 0.3 + 0.2 and 0.3 + 0.6; an image of 0.9 is clipped to 1.0 both times.
    scorer = screener.scorer(suspect.network, fit, images)
    for value, sums in ((0.3, [0.5, 0.9]), (0.9, [1.0, 1.0])):
        expected = entropies(suspect.network(pixels(*sums))).mean()
        assert float(scorer(pixels(value)).scores) == pytest.approx(-float(expected), abs=1e-6)


def test_a_certain_network_scores_highest_and_an_undecided_one_lowest() -> None:
    clean, images = clean_pixels([0, 255], [0, 1]), pixels(0.9)
    for steepness, score in ((1000.0, 0.0), (0.0, -log(2))):
        suspect = suspect_of(OnePixel(steepness=steepness), classes=2)
        scorer = STRIP().scorer(suspect.network, STRIP().fit(suspect, clean), images)
        assert float(scorer(images).scores) == pytest.approx(score)


def test_the_same_overlays_are_chosen_for_the_same_clean_set() -> None:
    suspect, clean = suspect_of(toy_network()), clean_set()
    first, before = STRIP(overlays=5).fit(suspect, clean), torch.get_rng_state()
    assert STRIP(overlays=5).fit(suspect, clean) == first
    assert STRIP(overlays=5, seed=1).fit(suspect, clean) != first
    assert torch.equal(torch.get_rng_state(), before)
    assert first["shape"] == [5, 3, 12, 12]


def test_no_overlay_is_chosen_twice() -> None:
    suspect, clean = suspect_of(toy_network()), clean_set(per_class=2)
    fit = STRIP(overlays=99).fit(suspect, clean)
    scorer = STRIP(weight=1.0).scorer(suspect.network, fit, clean.images[:1] / 255)
    assert len(scorer.overlays.unique(dim=0)) == len(clean)


def test_a_fit_gives_the_same_scores_after_json() -> None:
    suspect, clean = suspect_of(toy_network()), clean_set()
    fit, images = STRIP().fit(suspect, clean), clean.images[:4] / 255
    again = json.loads(json.dumps(fit))
    scores = [STRIP().scorer(suspect.network, each, images)(images).scores for each in (fit, again)]
    assert torch.equal(*scores)


def test_a_batch_is_scored_as_its_images_are_alone() -> None:
    suspect, clean = suspect_of(toy_network()), clean_set()
    images = clean.images[::7] / 255
    scorer = STRIP().scorer(suspect.network, STRIP().fit(suspect, clean), images)
    alone = torch.cat([scorer(image[None]).scores for image in images])
    assert torch.allclose(scorer(images).scores, alone, atol=1e-5)


def test_no_pass_takes_more_images_than_a_batch() -> None:
    network = OnePixel()
    suspect = suspect_of(network, classes=2)
    fit = STRIP(overlays=10).fit(suspect, clean_pixels(list(range(10)), [0] * 10))
    images = torch.rand(300, 3, 12, 12)
    STRIP(overlays=10).scorer(network, fit, images)(images)
    assert max(network.seen) <= batch_size(images) == 256
    assert sum(network.seen) == 300 * 11


def test_no_clean_image_is_refused() -> None:
    with pytest.raises(NotApplicableError, match="no clean image"):
        STRIP().fit(suspect_of(OnePixel(), classes=2), clean_pixels([], []))


def test_overlays_of_another_size_are_refused() -> None:
    suspect = suspect_of(OnePixel(), classes=2)
    fit = STRIP().fit(suspect, clean_pixels([1, 2], [0, 1]))
    with pytest.raises(NotApplicableError, match=r"\[3, 12, 12\].*\[3, 8, 8\]"):
        STRIP().scorer(suspect.network, fit, torch.zeros(1, 3, 8, 8))
