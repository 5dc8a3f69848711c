from dataclasses import replace

import pytest
import torch

from backaudit.core.errors import NotApplicableError
from backaudit.purification.splitting import divided, lacking
from tests.purifications import Repairs
from tests.toy import CLASSES, clean_set

NAMES = tuple(f"name {label}" for label in range(CLASSES))


def test_each_class_is_divided_60_15_25_and_no_image_is_in_two_parts() -> None:
    clean = clean_set(per_class=20)
    split = divided(clean, NAMES)
    for part, share in ((split.fit, 12), (split.validation, 3), (split.test, 5)):
        assert torch.bincount(part.labels).tolist() == [share] * CLASSES
    together = torch.cat([split.fit.images, split.validation.images, split.test.images])
    assert len(together.flatten(1).unique(dim=0)) == len(clean.images.flatten(1).unique(dim=0))


def test_what_is_held_out_is_what_was_not_trained_on() -> None:
    split = divided(clean_set(per_class=20), NAMES)
    held = split.held_out
    assert len(held) == len(split.validation) + len(split.test)
    trained = {image.numpy().tobytes() for image in split.fit.images}
    assert not any(image.numpy().tobytes() in trained for image in held.images)


def test_too_few_images_are_refused_with_how_many_it_takes() -> None:
    with pytest.raises(NotApplicableError, match=r"takes 40 .* Of 24 .* measure on 6 "):
        divided(clean_set(per_class=4), NAMES)


def test_many_classes_with_one_image_each_leave_nothing_to_measure_on() -> None:
    clean = clean_set(per_class=20).take(torch.arange(60))
    single = replace(clean, labels=torch.arange(60))
    with pytest.raises(NotApplicableError, match=r"Of 60 it would train on 60, choose by 0 "):
        divided(single, [str(label) for label in range(60)])


def test_classes_without_images_and_those_with_too_few_are_named() -> None:
    clean = clean_set(per_class=20)
    kept = [*range(60), 60, 61, *range(80, 100)]
    split = divided(clean.take(torch.tensor(kept)), NAMES)
    missing, few = split.warnings
    assert "Without a clean image: one class, 'name 5'." in missing
    assert "Too few images to measure the accuracy of one class, 'name 3'" in few
    assert divided(clean, NAMES).warnings == ()


def test_what_missing_labels_cost_is_said() -> None:
    clean = replace(clean_set(per_class=20), labelled=False, accuracy=None)
    (warning,) = divided(clean, NAMES).warnings
    assert "accuracy means agreement with the suspect" in warning


def test_how_many_images_a_purifier_needs_is_said() -> None:
    split = divided(clean_set(per_class=8), NAMES)
    fewest = len(split.fit) + 1
    needy = type("Needy", (Repairs,), {"fewest_images": fewest})()
    said = lacking(needy, split)
    assert f"repairs needs {fewest} images to train on" in said
    assert f"60% of 48 clean images are {fewest - 1}: give {-(-fewest * 10 // 6)} or more" in said
    assert lacking(Repairs(), split) == ""
