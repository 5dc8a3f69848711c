from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from backaudit.nets.torchvision_models import (
    FAMILIES,
    torchvision_candidate,
    torchvision_candidates,
    torchvision_models,
    torchvision_names,
)
from backaudit.nets.unallocated import Unallocated

Shapes = dict[str, tuple[int, ...]]
ONE_OF_EACH = [
    *("alexnet", "vgg11_bn", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet"),
    *("inception_v3", "maxvit_t", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_small"),
    *("regnet_y_400mf", "resnet18", "shufflenet_v2_x1_0", "squeezenet1_1", "swin_t", "vit_b_16"),
]


def make(name: str, **options: Any) -> nn.Module:
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    with Unallocated():
        network: nn.Module = torchvision_models().get_model(name, **options)
    return network


def shapes_of(network: nn.Module) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def fitting(shapes: Shapes) -> list[str]:
    names = []
    for candidate in torchvision_candidates(shapes):
        try:
            with Unallocated():
                network = candidate.build()
        except ValueError:
            continue
        if shapes_of(network) == shapes:
            names.append(candidate.name)
    return names


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_exactly_one_network_has_its_shapes(name: str) -> None:
    assert fitting(shapes_of(make(name, num_classes=7))) == [name]


def test_every_network_belongs_to_a_family() -> None:
    known = tuple(prefix for family in FAMILIES for prefix in family.prefixes)
    assert [name for name in torchvision_names() if not name.startswith(known)] == []


def test_nothing_but_weights_is_without_storage() -> None:
    network = make("swin_t")
    meta = {name for name, tensor in network.state_dict().items() if tensor.is_meta}
    assert "head.weight" in meta
    assert not any("relative_position_index" in name for name in meta)


def put(place: str, layer: nn.Module) -> Callable[[nn.Module], None]:
    return lambda network: network.set_submodule(place, layer)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("resnet18", put("fc", nn.Sequential(nn.Dropout(), nn.Linear(512, 5)))),
        ("vgg11", put("classifier.6", nn.Sequential(nn.Linear(4096, 5)))),
        ("efficientnet_b0", put("classifier", nn.Linear(1280, 5, bias=False))),
        ("mobilenet_v2", put("features.0.0", nn.Conv2d(1, 32, 3, 2, 1, bias=False))),
    ],
)
def test_usual_changes_are_followed(name: str, change: Callable[[nn.Module], None]) -> None:
    network = make(name)
    change(network)
    assert fitting(shapes_of(network)) == [name]


def test_head_of_several_layers_is_followed_and_is_an_assumption() -> None:
    network = make("resnet18")
    network.fc = nn.Sequential(nn.Linear(512, 9), nn.ReLU(), nn.Dropout(), nn.Linear(9, 5)).eval()
    shapes = shapes_of(network)
    assert fitting(shapes) == ["resnet18"]
    candidate = torchvision_candidate("resnet18", shapes)
    assert "fc.0, fc.3" in candidate.assumption
    head = candidate.build().get_submodule("fc").eval()
    head.load_state_dict(network.fc.state_dict())
    features = torch.rand(2, 512)
    assert torch.equal(head(features), network.fc(features))


@pytest.mark.parametrize("ratio", [0.25, 0.5, 1.4])
def test_mobilenet_of_other_widths(ratio: float) -> None:
    network = make("mobilenet_v2", width_mult=ratio, num_classes=5)
    assert fitting(shapes_of(network)) == [f"mobilenet_v2(width_mult={ratio})"]


def test_head_for_another_number_of_features_fits_nothing() -> None:
    network = make("resnet18")
    network.fc = nn.Sequential(nn.Linear(300, 5))
    assert fitting(shapes_of(network)) == []


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [("vit_b_16", {"image_size": 48}, 48), ("inception_v3", {}, 299), ("resnet18", {}, 224)],
)
def test_input_size(name: str, options: dict[str, int], size: int) -> None:
    shapes = shapes_of(make(name, **options))
    assert torchvision_candidate(name, shapes).input_size == size


def test_replaced_head_is_an_assumption() -> None:
    network = make("resnet18")
    network.fc = nn.Sequential(nn.Dropout(), nn.Linear(512, 5))
    assert "fc.1" in torchvision_candidate("resnet18", shapes_of(network)).assumption


def test_torchvision_is_not_imported_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def needed() -> None:
        pytest.fail("torchvision was imported")

    monkeypatch.setattr("backaudit.nets.torchvision_models.torchvision_names", needed)
    assert list(torchvision_candidates({"conv1.weight": (8, 3, 3, 3)})) == []


def test_caller_randomness_is_untouched_by_building() -> None:
    before = torch.random.get_rng_state()
    make("resnet18")
    assert torch.equal(torch.random.get_rng_state(), before)
