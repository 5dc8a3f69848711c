from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backaudit.bench.data.datasets import Dataset
from backaudit.bench.trials import auditor
from backaudit.bench.trials.auditor import CleanSample, hand_over
from tests.bench.zoos import rows, toy_data
from tests.toy import CLASSES


@pytest.fixture(scope="module")
def data() -> Dataset:
    return toy_data(test_per_class=50)


def test_images_come_from_the_test_part_with_their_labels(data: Dataset) -> None:
    drawn = CleanSample(30).draw(data, seed=4)
    assert drawn.labels is not None
    pixels = (image.numpy().tobytes() for image in data.test_images)
    truth = dict(zip(pixels, data.test_labels, strict=True))
    assert len(rows(drawn.images)) == 30
    for image, label in zip(drawn.images, drawn.labels, strict=True):
        assert truth[image.numpy().tobytes()] == label


def test_a_seed_draws_the_same_images_and_another_seed_others(data: Dataset) -> None:
    first, again, other = (CleanSample(30).draw(data, seed) for seed in (4, 4, 5))
    assert first.sha256 == again.sha256
    assert torch.equal(first.images, again.images)
    assert first.sha256 != other.sha256
    assert rows(first.images) != rows(other.images)


def test_more_images_than_there_are(data: Dataset) -> None:
    assert len(CleanSample(10_000).draw(data, 0).images) == 50 * CLASSES


def test_without_labels_there_are_none(data: Dataset, tmp_path: Path) -> None:
    drawn = CleanSample(20, labelled=False).draw(data, 0)
    drawn.write(tmp_path / "clean.npz")
    with np.load(tmp_path / "clean.npz") as arrays:
        assert arrays.files == ["x"]
        assert arrays["x"].shape == (20, 12, 12, 3)
    assert drawn.sha256 != CleanSample(20).draw(data, 0).sha256


def test_a_long_tail_by_hand(data: Dataset) -> None:
    drawn = CleanSample(100, imbalanced=True).draw(data, 0)
    assert drawn.labels is not None
    counts = torch.bincount(drawn.labels, minlength=CLASSES)
    # The largest share is 0.4 / (1 - 0.6^6), each other one 0.6 of the one before.
    assert counts.sort(descending=True).values.tolist() == [42, 25, 15, 9, 5, 3]
    heads = {
        int(torch.bincount(labels).argmax())
        for seed in range(8)
        if (labels := CleanSample(100, imbalanced=True).draw(data, seed).labels) is not None
    }
    assert len(heads) > 1


def test_every_class_of_a_long_tail_is_there(data: Dataset) -> None:
    labels = CleanSample(10, imbalanced=True).draw(data, 0).labels
    assert labels is not None
    assert labels.unique().numel() == CLASSES


def test_the_auditor_sees_two_files_that_tell_nothing(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def load(model: Path, clean: Path, options: object) -> tuple[str, str]:
        seen["files"] = {path.name: path.read_bytes() for path in model.parent.iterdir()}
        seen["path"] = str(model)
        return "suspect", "clean set"

    monkeypatch.setattr(auditor, "load", load)
    (tmp_path / "badnets-to-3.pt").write_bytes(b"weights")
    (tmp_path / "badnets-to-3.json").write_text("the truth")
    assert hand_over(tmp_path / "badnets-to-3.pt", CleanSample(5).draw(data, 0))[0] == "suspect"
    assert set(seen["files"]) == {"suspect.pt", "clean.npz"}
    assert seen["files"]["suspect.pt"] == b"weights"
    assert "badnets" not in seen["path"]


@pytest.mark.parametrize("imbalanced", [False, True])
def test_what_is_left_is_what_the_auditor_does_not_hold(data: Dataset, imbalanced: bool) -> None:
    sample = CleanSample(100, imbalanced=imbalanced)
    held, left = sample.draw(data, 4), sample.left(data, 4)
    assert len(left.unique()) == len(left) == 50 * CLASSES - len(held.images)
    assert not rows(held.images) & rows(data.test_images[left])
    assert torch.equal(left, sample.left(data, 4))
