from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import NotApplicableError
from backaudit.nets.architectures import ARCHITECTURES
from backaudit.nets.folding import folded
from backaudit.nets.layers import batch_norms
from tests.toy import toy_network, unusual

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Branching(nn.Module):
    """Answers otherwise for dark images, which no trace can follow."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) if images.mean() > 0.5 else images.amax((2, 3))


@pytest.mark.parametrize("name", ["resnet10-cifar", "vgg11-bn-cifar", "densenet121-cifar"])
def test_what_is_folded_computes_the_same(name: str) -> None:
    network = unusual(ARCHITECTURES[name](num_classes=5, width=4))
    before = deepcopy(network)
    without = folded(network)
    with torch.no_grad():
        assert torch.allclose(without(IMAGES), before(IMAGES), atol=1e-4)
        assert torch.equal(network(IMAGES), before(IMAGES))
    assert len(batch_norms(without)) < len(batch_norms(network))


def test_batch_norm_behind_convolutions_is_gone() -> None:
    assert not batch_norms(folded(toy_network()))


def test_batch_norm_before_a_convolution_stays() -> None:
    network = unusual(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.Flatten()))
    assert len(batch_norms(folded(network))) == 1


def test_a_convolution_that_something_else_reads_too_keeps_its_batch_norm() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, images: Tensor) -> Tensor:
            plain = self.conv(images)
            both: Tensor = plain + self.norm(plain)
            return both.mean((2, 3))

    assert len(batch_norms(folded(unusual(Both())))) == 1


def test_a_network_that_cannot_be_traced_is_refused() -> None:
    with pytest.raises(NotApplicableError, match="cannot be folded away"):
        folded(Branching())
