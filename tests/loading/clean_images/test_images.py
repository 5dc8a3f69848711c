from pathlib import Path

import numpy as np
import pytest
import torch

from backaudit.core.errors import CleanSetError
from backaudit.loading.clean_images.images import class_balanced, read_images
from tests.loading.samples import COLOURS, raw, tinted, write, write_class_folders, write_flat


def test_class_folders_give_images_and_folder_names(tmp_path: Path) -> None:
    images, labels = tinted(24)
    found = read_images(write_class_folders(tmp_path / "clean", images, labels))
    by_class = labels.argsort(stable=True)
    assert torch.equal(torch.stack(found.images), images[by_class])
    assert found.labels == tuple(COLOURS[label] for label in labels[by_class])
    assert found.indices is None
    assert "class folders; 24 images" in found.source


def test_images_in_subfolders_belong_to_their_class(tmp_path: Path) -> None:
    images, labels = tinted(24)
    folder = write_class_folders(tmp_path / "clean", images, labels)
    (folder / "red" / "deeper").mkdir()
    write(folder / "red" / "deeper" / "more.png", 255 - images[0])
    assert read_images(folder).labels.count("red") == 9


def test_flat_folder_is_unlabelled(tmp_path: Path) -> None:
    found = read_images(write_flat(tmp_path / "clean", tinted(21)[0]))
    assert len(found) == 21
    assert not found.labelled


@pytest.mark.parametrize("header", ["", "path,label\n", "Filename, Class\n"])
def test_labels_csv_gives_names(tmp_path: Path, header: str) -> None:
    images, labels = tinted(21)
    folder = write_flat(tmp_path / "clean", images)
    rows = [f"{index:03d}.png,{COLOURS[label]}" for index, label in enumerate(labels)]
    (folder / "labels.csv").write_text(header + "\n".join(rows) + "\n")
    found = read_images(folder)
    assert found.labels == tuple(COLOURS[label] for label in labels)
    assert torch.equal(found.images[5], images[5])


def test_numbers_in_labels_csv_are_indices(tmp_path: Path) -> None:
    images, labels = tinted(22)
    folder = write_flat(tmp_path / "clean", images)
    rows = [f"{index:03d}.png,{label}" for index, label in enumerate(labels.tolist()[:21])]
    (folder / "labels.csv").write_text("\n".join(rows))
    found = read_images(folder)
    assert found.indices == tuple(labels.tolist()[:21])
    assert "Ignored 1 image that labels.csv does not list." in found.notes


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("../secret.png,red", "of no image inside"),
        ("/etc/passwd,red", "of no image inside"),
        ("000.png,red\n000.png,red", "more than once"),
        ("000.png;red", "expected path,label"),
        ("000.png,", "expected path,label"),
    ],
)
def test_labels_csv_that_cannot_be_meant_is_refused(
    tmp_path: Path, rows: str, complaint: str
) -> None:
    folder = write_flat(tmp_path / "clean", tinted(21)[0])
    write(tmp_path / "secret.png", tinted(1)[0][0])
    (folder / "labels.csv").write_text(rows)
    with pytest.raises(CleanSetError, match=complaint):
        read_images(folder)


def test_labels_csv_elsewhere_is_not_followed(tmp_path: Path) -> None:
    folder = write_flat(tmp_path / "clean", tinted(21)[0])
    (tmp_path / "secret.csv").write_text("000.png,red")
    (folder / "labels.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(CleanSetError, match="link out of the folder"):
        read_images(folder)


def test_labels_csv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = write_flat(tmp_path / "clean", tinted(21)[0])
    (folder / "labels.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(CleanSetError, match="UTF-8 CSV"):
        read_images(folder)


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("test_x", "test_y")])
def test_npz_of_usual_names(tmp_path: Path, names: tuple[str, str]) -> None:
    images, labels = tinted(24)
    arrays = {names[0]: images.permute(0, 2, 3, 1).numpy(), names[1]: labels[:, None].numpy()}
    np.savez(tmp_path / "clean.npz", **arrays)
    found = read_images(tmp_path / "clean.npz")
    assert torch.equal(torch.stack(found.images), images)
    assert found.indices == tuple(labels.tolist())
    assert f"({names[0]}, {names[1]}; 24 images)" in found.source


def test_npz_prefers_a_held_out_part(tmp_path: Path) -> None:
    images = tinted(48)[0].numpy()
    np.savez(tmp_path / "clean.npz", train_x=images[:24], test_x=images[24:])
    found = read_images(tmp_path / "clean.npz")
    assert torch.equal(torch.stack(found.images), torch.from_numpy(images[24:]))
    assert not found.labelled


@pytest.mark.parametrize(
    ("dtype", "full"), [(np.float32, 1), (np.float64, 255), (np.int64, 255), (np.uint16, 65535)]
)
def test_npz_value_ranges_come_out_as_bytes(tmp_path: Path, dtype: type, full: int) -> None:
    images = tinted(24)[0]
    np.savez(tmp_path / "clean.npz", x=(images.double() * full / 255).numpy().astype(dtype))
    assert torch.equal(torch.stack(read_images(tmp_path / "clean.npz").images), images)


def test_npz_without_channels_is_grey(tmp_path: Path) -> None:
    images = tinted(24)[0][:, 0]
    np.savez(tmp_path / "clean.npz", x=images.numpy(), y=np.array(["a", "b"] * 12))
    found = read_images(tmp_path / "clean.npz")
    assert torch.equal(torch.stack(found.images), images[:, None])
    assert found.labels == ("a", "b") * 12


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"pixels": np.zeros((24, 8, 8, 3), np.uint8)}, "none of which has a usual name"),
        ({"x": np.zeros((24, 8, 8, 5), np.uint8)}, "have shape"),
        ({"x": np.full((24, 8, 8), -1.0)}, "before normalisation"),
        ({"x": np.full((24, 8, 8), np.nan)}, "before normalisation"),
        ({"x": np.zeros((24, 8, 8)), "y": np.zeros((24, 3))}, "one label an image"),
        ({"x": np.zeros((24, 8, 8)), "y": np.full(24, 0.5)}, "expected integers"),
        ({"x": np.array([{"a": 1}] * 24, dtype=object)}, "cannot be read as an .npz"),
    ],
)
def test_npz_that_cannot_be_used_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], complaint: str
) -> None:
    np.savez(tmp_path / "clean.npz", **arrays)
    with pytest.raises(CleanSetError, match=complaint):
        read_images(tmp_path / "clean.npz")


def test_npz_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backaudit.loading.clean_images.arrays.SIZE_LIMIT", 1000)
    np.savez_compressed(tmp_path / "clean.npz", x=np.zeros((24, 8, 8, 3), np.uint8))
    with pytest.raises(CleanSetError, match="unpacks to"):
        read_images(tmp_path / "clean.npz")


def test_damaged_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clean.npz").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(CleanSetError, match=r"cannot be read as an \.npz"):
        read_images(tmp_path / "clean.npz")


def test_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CleanSetError, match="does not exist"):
        read_images(tmp_path / "nowhere")


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clean.tar").write_bytes(b"")
    with pytest.raises(CleanSetError, match="neither a folder nor"):
        read_images(tmp_path / "clean.tar")


@pytest.mark.parametrize(("count", "complaint"), [(0, "holds no images"), (1, "1 image;")])
def test_too_few_images_are_refused(tmp_path: Path, count: int, complaint: str) -> None:
    with pytest.raises(CleanSetError, match=complaint):
        read_images(write_flat(tmp_path / "clean", tinted(count)[0]))


def test_copies_of_one_image_do_not_count(tmp_path: Path) -> None:
    with pytest.raises(CleanSetError, match="only 1 different image;"):
        read_images(write_flat(tmp_path / "clean", tinted(1)[0].expand(30, -1, -1, -1)))


def test_weaknesses_are_noted(tmp_path: Path) -> None:
    images = tinted(30)[0]
    np.savez(tmp_path / "clean.npz", x=torch.cat([images, images[:2]]).numpy(), y=np.ones(32))
    notes = read_images(tmp_path / "clean.npz").notes
    assert any("Only 32 clean images" in note for note in notes)
    assert "2 images: exact copies of others." in notes
    assert any("one class" in note for note in notes)


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    folder = write_flat(tmp_path / "clean", tinted(30)[0])
    for index in range(5):
        (folder / f"{index:03d}.png").write_bytes(b"no image")
    with pytest.raises(CleanSetError, match=r"5 of 30 .* 000\.png .* and 2 more\. Remove"):
        read_images(folder)


def test_other_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    folder = write_flat(tmp_path / "clean", tinted(24)[0])
    (folder / "notes.txt").write_text("")
    (folder / "Thumbs.db").write_text("")
    (folder / "._000.png").write_text("")
    (folder / ".cache").mkdir()
    found = read_images(folder)
    assert len(found) == 24
    assert "Ignored 2 other files." in found.notes


def test_links_that_lead_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    folder = write_flat(tmp_path / "clean", tinted(24)[0])
    outside = write_flat(tmp_path / "private", tinted(3, seed=1)[0])
    (folder / "link.png").symlink_to(outside / "000.png")
    (folder / "linked").symlink_to(outside)
    (folder / "inside.png").symlink_to(folder / "000.png")
    found = read_images(folder)
    assert len(found) == 25
    assert "Ignored 1 link out of the folder." in found.notes


def test_images_beside_class_folders_are_refused(tmp_path: Path) -> None:
    images, labels = tinted(24)
    folder = write_class_folders(tmp_path / "clean", images, labels)
    write(folder / "loose.png", images[0])
    with pytest.raises(CleanSetError, match="1 image beside folders that hold 24"):
        read_images(folder)


def test_class_folders_one_level_deeper_are_pointed_to(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "clean" / "test", *tinted(24))
    with pytest.raises(CleanSetError, match=r"such as .*clean/test\."):
        read_images(tmp_path / "clean")


def test_subset_is_class_balanced_and_said(tmp_path: Path) -> None:
    images = tinted(60)[0]
    labels = np.array([0] * 50 + [1] * 6 + [2] * 4)
    np.savez(tmp_path / "clean.npz", x=images.numpy(), y=labels)
    found = read_images(tmp_path / "clean.npz", max_images=24)
    assert np.bincount(found.indices).tolist() == [14, 6, 4]
    assert "24 of 60 images" in found.source
    again = read_images(tmp_path / "clean.npz", max_images=24)
    assert torch.equal(torch.stack(found.images), torch.stack(again.images))


def test_class_balanced_takes_turns() -> None:
    labels = ["a"] * 90 + ["b"] * 10
    chosen = class_balanced(labels, 100, 20)
    assert sum(labels[index] == "b" for index in chosen) == 10
    assert chosen == sorted(set(chosen))
    assert class_balanced(labels, 100, None) == list(range(100))
    assert class_balanced(None, 100, 10) != list(range(10))


def test_spread_keeps_labels_and_images_together() -> None:
    images, labels = tinted(30)
    part = raw(images, labels).spread(4)
    assert torch.equal(torch.stack(part.images), images[[0, 9, 19, 29]])
    assert part.labels == tuple(COLOURS[label] for label in labels[[0, 9, 19, 29]])
