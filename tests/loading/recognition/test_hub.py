from typing import Any

import pytest
import torch
from torch import nn

from backaudit.core.errors import CheckpointError
from backaudit.loading.clean_images.class_names import class_names_in
from backaudit.loading.preparation.conventions import stated_in
from backaudit.loading.recognition.hub import stated_names, unsupported_type
from backaudit.loading.recognition.recognise import recognise
from backaudit.loading.weights.checkpoint import Checkpoint
from backaudit.nets.timm_models import timm, timm_installed
from backaudit.nets.torchvision_models import torchvision_models
from tests.loading.recognition.test_recognise import checkpoint_of, same_logits

needs_timm = pytest.mark.skipif(not timm_installed(), reason="timm is not installed")
TIMM_CONFIG: dict[str, Any] = {
    "architecture": "resnetblur18",
    "num_classes": 4,
    "global_pool": "avg",
    "label_names": ["a", "b", "c", "d"],
    "pretrained_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "input_size": [3, 96, 96]},
}


def with_metadata(network: nn.Module, **metadata: object) -> Checkpoint:
    checkpoint = checkpoint_of(network.state_dict())
    checkpoint.metadata.update(metadata)
    return checkpoint


@needs_timm
def test_the_architecture_that_a_folder_names_goes_before_others_of_the_same_tensors() -> None:
    network = timm().create_model("resnetblur18", num_classes=4).eval()
    recognised = recognise(with_metadata(network, config=TIMM_CONFIG))
    assert recognised.architecture == "timm resnetblur18"
    assert "named by the file" in recognised.how
    assert recognised.unbuilt == ()
    assert same_logits(network, recognised.network, size=64)


@needs_timm
def test_a_wrong_name_does_not_keep_tensors_from_being_recognised() -> None:
    network = torchvision_models().resnet18(num_classes=4)
    metadata = {"config": TIMM_CONFIG | {"architecture": "resnet50"}}
    assert recognise(with_metadata(network, **metadata)).architecture == "resnet18"


def test_networks_of_the_same_tensors_are_remembered_without_importing_timm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def needed() -> None:
        pytest.fail("timm was imported")

    monkeypatch.setattr("backaudit.nets.timm_models.timm", needed)
    recognised = recognise(with_metadata(torchvision_models().resnet18(num_classes=4)))
    assert recognised.architecture == "resnet18"
    assert recognised.unbuilt == ("resnetblur18",)


def test_preprocessing_and_names_of_a_timm_folder() -> None:
    metadata: dict[str, object] = {"config": TIMM_CONFIG}
    stated = stated_in(metadata, 3)
    assert (stated.size, stated.mean, stated.std) == ((96, 96), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
    assert "timm writes it whatever" in stated.origin
    names = class_names_in(metadata, 4)
    assert names is not None
    assert names.names == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({"rescale_factor": 1 / 255}, 0.5, 0.25),
        ({"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [51.0] * 3}, 0.5, 0.2),
        ({"do_rescale": False}, 0.5 / 255, 0.25 / 255),
        ({"do_normalize": False}, 0.0, 1.0),
    ],
)
def test_preprocessing_of_a_transformers_folder(
    settings: dict[str, object], mean: float, std: float
) -> None:
    usual = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "size": {"shortest_edge": 40}}
    folder: dict[str, object] = {
        "config": {"image_size": 64},
        "preprocessor_config": {**usual, "crop_size": {"height": 32, "width": 32}, **settings},
    }
    stated = stated_in(folder, 3)
    assert stated.size == (32, 32)
    assert stated.mean == pytest.approx((mean,) * 3)
    assert stated.std == pytest.approx((std,) * 3)
    assert stated.origin == "preprocessor_config.json"


def test_names_in_metadata() -> None:
    metadata: dict[str, object] = {"arch": " ResNet18 ", "config": {"architecture": "vit.in1k"}}
    assert list(stated_names(metadata)) == ["vit", "resnet18"]


def test_other_networks_of_transformers_are_refused_by_name() -> None:
    config = {"architectures": ["BeitForImageClassification"], "model_type": "beit"}
    state = {"beit.embeddings.cls_token": torch.ones(1, 1, 4), "x": torch.ones(2, 2)}
    checkpoint = checkpoint_of(state)
    checkpoint.metadata["config"] = config
    with pytest.raises(CheckpointError, match=r"'beit' of transformers.*deit, resnet, vit"):
        recognise(checkpoint)
    assert unsupported_type({"config": config | {"model_type": "vit"}}) == ""
