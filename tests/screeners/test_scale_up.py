import json

import pytest
import torch

from backaudit.core.errors import NotApplicableError
from backaudit.screeners.scale_up import ScaleUp
from tests.screeners.small import OnePixel, clean_pixels, pixels
from tests.toy import clean_set, suspect_of, toy_network

LIMITED = ScaleUp(variant="data-limited")


def test_score_is_the_share_of_scaled_images_that_keep_their_class() -> None:
    # 0.1 is class 0; scaled to 0.3 and 0.5 it stays, at 0.7, 0.9 and 1.0 it is class 1.
    images = pixels(0.1, 0.9, 0.0, 0.15, 0.5)
    scored = ScaleUp().scorer(OnePixel(), {}, images)(images)
    assert scored.scores.tolist() == pytest.approx([0.4, 1.0, 1.0, 0.2, 0.0])
    assert scored.logits.argmax(1).tolist() == [0, 1, 0, 0, 0]


def test_scaled_pixels_are_clipped_to_what_an_image_can_hold() -> None:
    # At a limit of 1.5 nothing that an image can hold is class 1.
    images = pixels(0.9)
    assert ScaleUp().scorer(OnePixel(limit=1.5), {}, images)(images).scores.tolist() == [1.0]


def test_as_many_passes_as_there_are_scales_and_one() -> None:
    network = OnePixel()
    ScaleUp(scales=(2.0, 4.0)).scorer(network, {}, pixels(0.1))(pixels(0.1, 0.2, 0.3))
    assert network.seen == [3, 3, 3]


def test_data_free_scores_need_no_clean_image() -> None:
    suspect = suspect_of(OnePixel(), classes=2)
    assert ScaleUp().fit(suspect, clean_pixels([], [])) == {}


def test_data_limited_scores_are_normalised_by_the_predicted_class() -> None:
    suspect = suspect_of(OnePixel(), classes=2)
    # Consistency of class 0: 0.4 and 0.0, so mean 0.2 and deviation 0.2; of class 1: always 1.
    clean = clean_pixels([25, 128, 230, 250], [0, 0, 1, 1])
    fit = LIMITED.fit(suspect, clean)
    # Class 1 has no spread: the mean of all is 0.6, and their deviation sqrt(0.18).
    assert fit["means"] == pytest.approx([0.2, 0.6])
    assert fit["deviations"] == pytest.approx([0.2, 0.18**0.5])
    images = pixels(0.1, 0.9)
    scored = LIMITED.scorer(suspect.network, json.loads(json.dumps(fit)), images)(images)
    assert scored.scores.tolist() == pytest.approx([1.0, 0.4 / 0.18**0.5])


def test_where_clean_images_never_vary_one_scale_is_the_unit() -> None:
    suspect = suspect_of(OnePixel(), classes=2)
    fit = LIMITED.fit(suspect, clean_pixels([230, 250], [1, 1]))
    assert fit == {"means": [1.0, 1.0], "deviations": [0.2, 0.2]}


def test_data_limited_scores_need_two_clean_images() -> None:
    with pytest.raises(NotApplicableError, match="variant=data-free"):
        LIMITED.fit(suspect_of(OnePixel(), classes=2), clean_pixels([10], [0]))


def test_a_fit_of_another_number_of_classes_is_refused() -> None:
    fit = {"means": [0.5] * 3, "deviations": [0.1] * 3}
    with pytest.raises(NotApplicableError, match="2 classes"):
        LIMITED.scorer(OnePixel(), fit, pixels(0.1))


def test_a_batch_is_scored_as_its_images_are_alone() -> None:
    suspect, clean = suspect_of(toy_network()), clean_set()
    images = clean.images[::7] / 255
    scorer = LIMITED.scorer(suspect.network, LIMITED.fit(suspect, clean), images)
    alone = torch.cat([scorer(image[None]).scores for image in images])
    assert torch.allclose(scorer(images).scores, alone)
