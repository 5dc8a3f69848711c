from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from backaudit.core.errors import CheckpointError, CleanSetError, SettingError
from backaudit.loading.load import LoadOptions, load
from backaudit.loading.preparation.conventions import UNIT, Convention, conventions
from tests.loading.samples import (
    COLOURS,
    TINT_NET,
    tinted,
    trained_on,
    write_class_folders,
    write_flat,
)

IMAGES, LABELS = tinted(90)
IMAGENET = next(usual for usual in conventions(3) if usual.name == "imagenet")


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "clean", IMAGES, LABELS)


def checkpoint(folder: Path, network: nn.Module, **metadata: object) -> Path:
    torch.save({"state_dict": network.state_dict(), **metadata}, folder / "model.pt")
    return folder / "model.pt"


def definition(folder: Path, code: str = TINT_NET, name: str = "TintNet") -> str:
    (folder / "definition.py").write_text(code)
    return f"{folder / 'definition.py'}:{name}"


def tint_net(folder: Path, convention: Convention = IMAGENET, **metadata: object) -> Path:
    return checkpoint(folder, trained_on(IMAGES, convention), **metadata)


def test_a_checkpoint_and_folders_become_a_suspect_and_a_clean_set(
    tmp_path: Path, clean: Path
) -> None:
    model = tint_net(tmp_path)
    suspect, images = load(model, clean, LoadOptions(model_def=definition(tmp_path)))
    assert suspect.num_classes == 3
    assert suspect.image_shape == (3, 8, 8)
    assert suspect.class_names == COLOURS
    assert suspect.preprocessing.name == "imagenet"
    assert suspect.path == model
    assert not suspect.network.training
    assert images.images.dtype == torch.uint8
    assert images.images.shape == (90, 3, 8, 8)
    assert images.labelled
    assert images.accuracy == 1
    assert images.class_matching == "classes in alphabetical order are the outputs in order"
    assert "class folders; 90 images" in images.source
    assert torch.equal(suspect.logits(images.images).argmax(1), images.labels)


def test_normalisation_is_inside_the_suspect(tmp_path: Path, clean: Path) -> None:
    network = trained_on(IMAGES, IMAGENET)
    model = checkpoint(tmp_path, network)
    suspect, images = load(model, clean, LoadOptions(model_def=definition(tmp_path)))
    mean, std = (torch.tensor(part)[:, None, None] for part in (IMAGENET.mean, IMAGENET.std))
    expected = network((images.images.float() / 255 - mean) / std)
    assert torch.allclose(suspect.logits(images.images), expected, atol=1e-5)


def test_unlabelled_images_are_labelled_by_the_suspect(tmp_path: Path) -> None:
    folder = write_flat(tmp_path / "clean", IMAGES)
    options = LoadOptions(model_def=definition(tmp_path))
    suspect, images = load(tint_net(tmp_path), folder, options)
    assert torch.equal(images.labels, LABELS)
    assert not images.labelled
    assert images.accuracy is None
    assert suspect.class_names == ("0", "1", "2")


def test_metadata_of_the_checkpoint_are_used(tmp_path: Path, clean: Path) -> None:
    names = ["Blue", "Green", "Red"]
    model = tint_net(tmp_path, UNIT, mean=[0.0] * 3, std=[1.0] * 3, classes=names)
    suspect, images = load(model, clean, LoadOptions(model_def=definition(tmp_path)))
    assert suspect.preprocessing.how.startswith("stated by the checkpoint")
    assert suspect.class_names == ("Blue", "Green", "Red")
    assert images.class_matching == "by name, from the checkpoint's 'classes'"


def test_options_are_used(tmp_path: Path, clean: Path) -> None:
    (tmp_path / "names.txt").write_text("blue\ngreen\nred")
    options = LoadOptions(
        model_def=definition(tmp_path),
        classes=tmp_path / "names.txt",
        size=(12, 10),
        mean=IMAGENET.mean,
        std=IMAGENET.std,
        max_images=30,
    )
    suspect, images = load(tint_net(tmp_path), clean, options)
    assert suspect.image_shape == (3, 12, 10)
    assert torch.bincount(images.labels).tolist() == [10, 10, 10]
    assert "30 of 90 images" in images.source
    assert images.class_matching == "by name, from names.txt"


def test_wrong_classes_are_refused_with_what_was_assumed(tmp_path: Path) -> None:
    clean = write_class_folders(tmp_path / "clean", IMAGES, (LABELS + 1) % 3)
    with pytest.raises(CleanSetError) as refusal:
        load(tint_net(tmp_path), clean, LoadOptions(model_def=definition(tmp_path)))
    message = str(refusal.value)
    assert message.startswith("wrong preprocessing or wrong classes: the suspect classifies 0%")
    for part in ("imagenet", "8x8", "alphabetical", "would be 100%", "--mean", "--classes"):
        assert part in message


def test_wrong_preprocessing_is_refused(tmp_path: Path, clean: Path) -> None:
    dark = LoadOptions(model_def=definition(tmp_path, SATURATED), mean=(1.0,), std=(9.0,))
    with pytest.raises(CleanSetError, match="wrong preprocessing"):
        load(tint_net(tmp_path, UNIT), clean, dark)


SATURATED = TINT_NET.replace(
    "self.bn(self.conv(images)).mean((2, 3))",
    "(self.bn(self.conv(images)) > 0).float().mean((2, 3))",
)


def test_softmax_at_the_end_is_undone_and_said(tmp_path: Path, clean: Path) -> None:
    code = TINT_NET.replace("return self.fc(", "return self.end(self.fc(").replace("3)))", "3))))")
    code = code.replace("self.fc = ", "self.end = nn.Softmax(1)\n        self.fc = ")
    options = LoadOptions(model_def=definition(tmp_path, code))
    suspect, images = load(tint_net(tmp_path), clean, options)
    assert float(suspect.logits(images.images).max()) > 1
    assert any("softmax" in assumption for assumption in suspect.assumptions)
    assert images.accuracy == 1


def test_weaknesses_of_the_clean_set_are_among_the_assumptions(tmp_path: Path) -> None:
    clean = write_class_folders(tmp_path / "clean", IMAGES[:30], LABELS[:30])
    options = LoadOptions(model_def=definition(tmp_path))
    suspect, _ = load(tint_net(tmp_path), clean, options)
    assert any("Only 30 clean images" in assumption for assumption in suspect.assumptions)
    assert any("--model-def" in assumption for assumption in suspect.assumptions)


@pytest.mark.parametrize(("wrong", "said"), [(95, True), (60, False)])
def test_low_accuracy_is_said(tmp_path: Path, wrong: int, said: bool) -> None:
    images, labels = tinted(180)
    labels[:wrong] = (labels[:wrong] + 1) % 3
    np.savez(tmp_path / "clean.npz", x=images.numpy(), y=labels.numpy())
    options = LoadOptions(model_def=definition(tmp_path))
    suspect, found = load(tint_net(tmp_path), tmp_path / "clean.npz", options)
    assert found.accuracy == pytest.approx(1 - wrong / 180)
    assert said == any("classifies only 47%" in sentence for sentence in suspect.assumptions)


def test_nan_answers_are_refused(tmp_path: Path, clean: Path) -> None:
    code = TINT_NET.replace("mean((2, 3))", "sub(images.mean()).div(0).mean((2, 3))")
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        load(tint_net(tmp_path), clean, LoadOptions(model_def=definition(tmp_path, code)))


def test_networks_that_do_not_classify_are_refused(tmp_path: Path, clean: Path) -> None:
    code = TINT_NET.partition("return")[0] + "return {'out': images}\n"
    with pytest.raises(CheckpointError, match="dict"):
        load(tint_net(tmp_path), clean, LoadOptions(model_def=definition(tmp_path, code)))


def test_size_that_the_network_cannot_take_is_refused(tmp_path: Path, clean: Path) -> None:
    code = TINT_NET.replace(".mean((2, 3))", "[:, :, :8, :8].reshape(-1, 3, 64).mean(2)")
    options = LoadOptions(model_def=definition(tmp_path, code), size=(4, 4))
    with pytest.raises(CheckpointError, match=r"4x4.*--size"):
        load(tint_net(tmp_path), clean, options)


def test_half_of_a_normalisation_is_an_option_error(tmp_path: Path, clean: Path) -> None:
    options = LoadOptions(model_def=definition(tmp_path), mean=(0.5,))
    with pytest.raises(SettingError, match="belong together"):
        load(tint_net(tmp_path), clean, options)


def test_loading_twice_gives_the_same_and_leaves_random_numbers_alone(
    tmp_path: Path, clean: Path
) -> None:
    options = LoadOptions(model_def=definition(tmp_path), max_images=40)
    model, state = tint_net(tmp_path), torch.random.get_rng_state()
    loaded = [load(model, clean, options) for _ in range(2)]
    assert torch.equal(state, torch.random.get_rng_state())
    (first, images), (second, again) = loaded
    assert torch.equal(images.images, again.images)
    assert first.preprocessing == second.preprocessing
    assert first.assumptions == second.assumptions
