from typing import Any

import pytest
from torch import nn

from backaudit.nets.library_index import fingerprint, indexed_names, library_index
from backaudit.nets.timm_models import (
    timm,
    timm_candidate,
    timm_candidates,
    timm_installed,
)
from backaudit.nets.unallocated import Unallocated
from backaudit.nets.write_index import fingerprints

needs_timm = pytest.mark.skipif(not timm_installed(), reason="timm is not installed")
Shapes = dict[str, tuple[int, ...]]


def shapes_of(network: nn.Module) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def make(name: str, **options: Any) -> nn.Module:
    with Unallocated():
        network: nn.Module = timm().create_model(name, pretrained=False, **options)
    return network


@needs_timm
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"num_classes": 7, "in_chans": 1}),
        ("convnext_atto", {"num_classes": 7}),
        ("vit_tiny_patch16_224", {"num_classes": 7, "img_size": 64}),
        ("mobilenetv3_small_100", {"num_classes": 7}),
    ],
)
def test_network_is_among_what_its_shapes_propose(name: str, options: dict[str, int]) -> None:
    shapes = shapes_of(make(name, **options))
    assert name in indexed_names("timm", shapes)
    candidate = timm_candidate(name, shapes)
    with Unallocated():
        assert shapes_of(candidate.build()) == shapes
    assert candidate.input_size == options.get("img_size", 224)


@needs_timm
def test_networks_of_the_same_tensors_are_all_proposed() -> None:
    shapes = shapes_of(make("tf_efficientnet_b0", num_classes=3))
    names = {candidate.name for candidate in timm_candidates(shapes)}
    assert {"timm efficientnet_b0", "timm tf_efficientnet_b0"} <= names


@needs_timm
def test_stated_arguments_are_taken_only_if_they_are_plain_settings() -> None:
    shapes = shapes_of(make("vit_tiny_patch16_224", num_classes=3, depth=2))
    wrong = {"pretrained": True, "checkpoint_path": "x", "embed_dim": 1 << 30, "depth": 2}
    with Unallocated():
        network = timm_candidate("vit_tiny_patch16_224", shapes, wrong).build()
    assert shapes_of(network) == shapes


def test_fingerprint_leaves_out_classes_channels_and_image_size() -> None:
    one = {"conv.weight": (8, 3, 3, 3), "pos_embed": (1, 5, 8), "fc.weight": (9, 8)}
    other = {"conv.weight": (8, 1, 3, 3), "pos_embed": (1, 9, 8), "head.fc.weight": (2, 8)}
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one) != fingerprint(one | {"conv.weight": (8, 3, 5, 5)})


def test_index_is_made_of_what_can_be_built() -> None:
    def create(name: str) -> nn.Module:
        if name == "broken":
            raise RuntimeError
        return nn.Sequential(nn.Linear(4, 2 if name == "small" else 3))

    made = fingerprints(["small", "broken", "large", "twin"], create)
    assert sorted(made.values()) == [["large", "twin"], ["small"]]


def test_index_knows_the_usual_networks() -> None:
    names = {name for group in library_index("timm").values() for name in group}
    assert len(names) > 1000
    assert "resnet18" in {name for group in library_index("torchvision").values() for name in group}
    assert {"resnet50", "vit_base_patch16_224", "convnext_tiny"} <= names


def test_timm_is_not_imported_for_tensors_that_it_does_not_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def needed() -> None:
        pytest.fail("timm was imported")

    monkeypatch.setattr("backaudit.nets.timm_models.timm", needed)
    assert list(timm_candidates({"x.weight": (2, 2)})) == []
