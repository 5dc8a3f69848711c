import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import NotApplicableError
from backaudit.nets.architectures import ARCHITECTURES
from backaudit.nets.readout import Readout, readout
from tests.toy import clean_set, toy_network

IMAGE = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def found(*layers: nn.Module) -> Readout:
    return readout(nn.Sequential(*layers).eval(), IMAGE)


def test_pooled_features_make_one_input_a_channel() -> None:
    head = readout(toy_network(), IMAGE)
    assert (head.name, head.channels, head.layer.in_features, head.closes) == ("11", 32, 32, True)


def test_flattened_features_make_several_inputs_a_channel() -> None:
    head = found(nn.Conv2d(3, 5, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(125, 4))
    assert (head.name, head.channels, head.layer.in_features) == ("3", 5, 125)


def test_the_first_of_several_linear_layers_reads_the_features() -> None:
    head = found(
        nn.Linear(12, 12), nn.Conv2d(3, 5, 12), nn.Flatten(), nn.Linear(5, 7), nn.Linear(7, 2)
    )
    assert (head.name, head.channels, head.closes) == ("3", 5, False)


def test_a_linear_layer_between_convolutions_is_passed_over() -> None:
    head = found(
        nn.Conv2d(3, 4, 12),
        nn.Flatten(),
        nn.Linear(4, 12),
        nn.Unflatten(1, (3, 2, 2)),
        nn.Conv2d(3, 6, 2),
        nn.Flatten(),
        nn.Linear(6, 2),
    )
    assert (head.name, head.channels) == ("6", 6)


@pytest.mark.parametrize("name", ["densenet121-cifar", "preactresnet18", "vgg11-cifar"])
def test_the_channels_of_real_networks_are_those_of_their_last_map(name: str) -> None:
    network = ARCHITECTURES[name](num_classes=4, width=4, in_channels=3).eval()
    head = readout(network, torch.rand(1, 3, 32, 32))
    assert head.layer.out_features == 4
    assert head.channels == head.layer.in_features > 16


def test_its_vectors_and_outputs_are_those_of_the_network() -> None:
    network, clean = toy_network(), clean_set(2)
    head = readout(network, clean.images[:1])
    vectors = head.vectors(network, clean)
    with torch.no_grad():
        logits: Tensor = network(clean.images.float() / 255)
    assert vectors.shape == (len(clean), 32)
    assert torch.allclose(head.outputs(vectors), logits, atol=1e-5)


@pytest.mark.parametrize(
    "layers",
    [(nn.Flatten(), nn.Linear(432, 2)), (nn.Conv2d(3, 2, 12), nn.Flatten())],
    ids=["no convolution", "no linear layer"],
)
def test_a_network_without_either_is_refused(layers: tuple[nn.Module, ...]) -> None:
    with pytest.raises(NotApplicableError, match="last convolution"):
        found(*layers)
