from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from backaudit.core.errors import InputError, SettingError
from backaudit.core.suspect import Suspect
from backaudit.purification.triggered import class_named, read_triggered
from tests.toy import CLASSES, SIZE, suspect_of, toy_network


@pytest.fixture(scope="module")
def suspect() -> Suspect:
    return suspect_of(toy_network())


def draw(path: Path, light: int, side: int = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), (light, light, light)).save(path)


def test_class_folders_are_true_classes_and_the_targets_own_images_are_left_out(
    suspect: Suspect, tmp_path: Path
) -> None:
    for name, light in (("class 0/a.png", 10), ("class 2/b.png", 20), ("class 3/c.png", 30)):
        draw(tmp_path / name, light)
    found = read_triggered(tmp_path, "class 2", suspect)
    assert found.target == 2
    assert found.labels is not None
    assert found.labels.tolist() == [0, 3]
    assert found.images[:, 0, 0, 0].tolist() == [10, 30]
    assert "2 images" in found.said
    assert "1 image of the target's own class left out" in found.said


def test_folders_may_be_called_by_number(suspect: Suspect, tmp_path: Path) -> None:
    draw(tmp_path / "1" / "a.png", 10)
    found = read_triggered(tmp_path, "4", suspect)
    assert found.labels is not None
    assert (found.labels.tolist(), found.target) == ([1], 4)


def test_of_a_flat_folder_all_images_are_taken_and_that_is_said(
    suspect: Suspect, tmp_path: Path
) -> None:
    draw(tmp_path / "a.png", 10)
    draw(tmp_path / "b.png", 20, side=30)
    found = read_triggered(tmp_path, "CLASS 1", suspect)
    assert found.labels is None
    assert found.images.shape == (2, 3, SIZE, SIZE)
    assert "their true classes are not known" in found.said


def test_an_archive_with_labels_is_read(suspect: Suspect, tmp_path: Path) -> None:
    images = np.zeros((3, SIZE, SIZE, 3), np.uint8)
    images[1] = 255
    np.savez(tmp_path / "evil.npz", x=images, y=np.array([0, 1, 2]))
    found = read_triggered(tmp_path / "evil.npz", "0", suspect)
    assert found.labels is not None
    assert found.labels.tolist() == [1, 2]
    assert torch.equal(found.images[0], torch.full((3, SIZE, SIZE), 255, dtype=torch.uint8))


@pytest.mark.parametrize("name", ["class 7", "99", "-1", ""])
def test_an_unknown_target_is_refused(suspect: Suspect, name: str) -> None:
    with pytest.raises(SettingError, match="has no class"):
        class_named(name, suspect)


def test_a_name_goes_before_a_number() -> None:
    suspect = suspect_of(toy_network())
    names = ("1", "0", *(str(index) for index in range(2, CLASSES)))
    renamed = Suspect(**{**vars(suspect), "class_names": names})
    assert [class_named(text, renamed) for text in ("0", "1", "2")] == [1, 0, 2]


def test_folders_of_other_names_than_classes_are_refused(suspect: Suspect, tmp_path: Path) -> None:
    draw(tmp_path / "badnets" / "a.png", 10)
    with pytest.raises(InputError, match=r"'badnets', which is no class .* one flat folder"):
        read_triggered(tmp_path, "0", suspect)


def test_what_holds_no_usable_image_is_refused(suspect: Suspect, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no triggered images"):
        read_triggered(tmp_path, "0", suspect)
    with pytest.raises(InputError, match="neither a folder nor an"):
        read_triggered(tmp_path / "none", "0", suspect)
    draw(tmp_path / "class 0" / "a.png", 10)
    with pytest.raises(InputError, match="no triggered image of another class than class 0"):
        read_triggered(tmp_path, "class 0", suspect)
    (tmp_path / "class 1").mkdir()
    (tmp_path / "class 1" / "b.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="cannot be used"):
        read_triggered(tmp_path, "class 0", suspect)
