import pytest
from torch import nn

from backaudit.nets.architectures import ARCHITECTURES
from backaudit.nets.chains.reading import Chain, read_chain


def chain_of(network: nn.Module) -> Chain:
    chain = read_chain(shapes_of(network))
    assert chain is not None
    return chain


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def test_layers_norms_and_gaps_of_a_sequence() -> None:
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 5, groups=8), nn.ReLU(), nn.BatchNorm2d(8, affine=False)),
        *(nn.Flatten(), nn.Linear(8 * 9, 4)),
    )
    chain = chain_of(network)
    first, second, third = chain.units
    assert (first.layer.name, first.layer.bias, first.inside, first.after) == ("0", False, 0, 2)
    assert (second.layer.groups, second.layer.kernel, second.inside) == (8, (5, 5), 1)
    assert second.norm is not None
    assert not second.norm.bias
    assert (third.norm, third.after) == (None, None)
    assert (chain.grid, chain.num_classes) == (3, 4)
    assert chain.describe() == "2 convolutions, 2 batch norms, 1 linear layer"


def test_norms_registered_after_all_layers_are_matched_by_number() -> None:
    network = nn.Module()
    network.fc1 = nn.Linear(8, 5)
    network.conv1, network.conv2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
    network.bn2, network.bn1 = nn.BatchNorm2d(8), nn.BatchNorm2d(8)
    chain = chain_of(network)
    assert [unit.layer.name for unit in chain.units] == ["conv1", "conv2", "fc1"]
    assert [unit.norm and unit.norm.name for unit in chain.units] == ["bn1", "bn2", None]


def test_numbering_of_a_list_of_layers_tells_nothing() -> None:
    network = nn.ModuleList([nn.Linear(9, 7), nn.Linear(7, 5), nn.Linear(5, 3)])
    assert [unit.after for unit in chain_of(network).units] == [None, None, None]


@pytest.mark.parametrize(
    "network",
    [
        ARCHITECTURES["resnet10-cifar"](num_classes=3, width=4),
        nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)),
        nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 2)),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8 * 6, 2)),
        nn.Sequential(nn.Linear(4, 3), nn.Conv2d(3, 8, 3)),
        nn.Linear(2, 2),
    ],
)
def test_what_is_no_chain(network: nn.Module) -> None:
    assert read_chain(shapes_of(network)) is None
