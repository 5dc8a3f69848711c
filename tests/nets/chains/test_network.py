import pytest
import torch
from torch import nn

from backaudit.nets.chains.candidates import chain_candidate, usual_filling
from backaudit.nets.chains.filling import Filling, geometries
from backaudit.nets.chains.network import ChainNetwork, activation
from tests.nets.chains.test_reading import chain_of


def lenet(end: int = 400, pool: nn.Module | None = None) -> nn.Sequential:
    pool = pool or nn.MaxPool2d(2)
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 5), nn.ReLU(), pool, nn.Conv2d(6, 16, 5), nn.ReLU(), pool),
        *(nn.Flatten(), nn.Linear(end, 9), nn.ReLU(), nn.Dropout(), nn.Linear(9, 4)),
    )


def strided() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 4, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 4, 2, 1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(256, 4)),
    )


def normed() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(4), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1024, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)),
    )


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 6), nn.ReLU(), nn.Linear(6, 3))


@pytest.mark.parametrize("make", [lenet, strided, normed, mlp])
@torch.no_grad()
def test_usual_filling_computes_what_the_sequence_did(make: type[nn.Sequential]) -> None:
    network = make().eval()
    chain = chain_of(network)
    rebuilt = chain_candidate(chain).build()
    rebuilt.load_state_dict(network.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(rebuilt.eval()(images), network(images))


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AvgPool2d(2)])
@torch.no_grad()
def test_other_pooling_is_among_the_fillings(pool: nn.Module) -> None:
    network = lenet(pool=pool)
    chain = chain_of(network)
    images = torch.rand(2, 3, 32, 32)
    same = 0
    for filling in geometries(chain):
        rebuilt = ChainNetwork(chain, filling)
        rebuilt.load_state_dict(network.state_dict())
        same += torch.equal(rebuilt.eval()(images), network.eval()(images))
    assert same == 1


def test_fillings_give_the_first_linear_layer_what_it_takes() -> None:
    chain = chain_of(lenet())
    found = geometries(chain)
    assert len(found) > 1
    for filling in found:
        images = torch.zeros(1, filling.in_channels, filling.size, filling.size)
        assert ChainNetwork(chain, filling)(images).shape == (1, 4)


def test_convolutions_alone_end_in_the_average_of_their_scores() -> None:
    chain = chain_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 1)))
    network = chain_candidate(chain).build()
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 5)


def test_sizes_that_do_not_work_out_have_no_filling() -> None:
    chain = chain_of(nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(4 * 37**2, 3)))
    assert geometries(chain) == []
    assert usual_filling(chain).pooled


def test_activations_by_name() -> None:
    assert repr(activation("LeakyReLU(0.1)")) == "LeakyReLU(negative_slope=0.1)"
    assert isinstance(activation("GELU"), nn.GELU)


def test_a_filling_in_words() -> None:
    filling = Filling(3, 32, same=True, reduced=(True, False), reduction="average")
    assert filling.describe() == (
        "ReLU, average pooling at convolution 1, padded convolutions, for images of 32x32"
    )
