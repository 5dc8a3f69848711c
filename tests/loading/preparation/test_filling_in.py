import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.seeding import seeded
from backaudit.loading.preparation.conventions import UNIT
from backaudit.loading.preparation.filling_in import FilledIn, fill_in
from backaudit.nets.chains.reading import read_chain
from tests.loading.samples import raw


def bars(count: int = 120, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Grey 28x28 noise with a bright bar at one of three places, and which (N,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = torch.randint(0, 90, (count, 1, 28, 28), generator=generator)
    for index, label in enumerate(labels.tolist()):
        images[index, :, 8 * label + 2 : 8 * label + 6] += 9
    return images.to(torch.uint8), labels


def small(activation: nn.Module, pool: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 5), activation, pool, nn.Conv2d(4, 4, 5), activation, pool),
        *(nn.Flatten(), nn.Linear(64, 3)),
    )


def trained(network: nn.Sequential) -> nn.Sequential:
    images, labels = bars(90, seed=1)
    inputs = images.float() / 255
    with seeded(0):
        for layer in network:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.reset_parameters()
    for _ in range(60):
        loss = nn.functional.cross_entropy(network(inputs), labels)
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                parameter -= 0.2 * gradient
    return network.eval().requires_grad_(False)


def filled(network: nn.Module, *, labelled: bool = True, shuffled: bool = False) -> FilledIn:
    state = {f"net.{name}": tensor for name, tensor in network.state_dict().items()}
    # Without the numbering of a sequence, nothing tells what lay between the layers.
    renamed = {name.replace("net.", "conv").replace("conv7", "fc7"): t for name, t in state.items()}
    chain = read_chain({name: tuple(tensor.shape) for name, tensor in renamed.items()})
    assert chain is not None
    images, labels = bars()
    if shuffled:
        labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))]
    return fill_in(chain, renamed, raw(images, labels if labelled else None), UNIT)


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    return trained(small(nn.ReLU(), nn.MaxPool2d(2)))


def test_the_filling_it_was_trained_with_is_found(network: nn.Sequential) -> None:
    found = filled(network)
    inputs = bars()[0].float() / 255
    assert torch.equal(found.network(inputs), network(inputs))
    assert "ReLU, max pooling at each convolution" in found.how
    assert "of 120 clean images" in found.how


def test_without_labels_it_is_refused_with_a_way_out(network: nn.Sequential) -> None:
    with pytest.raises(CheckpointError, match=r"labelled clean images.*--skeleton"):
        filled(network, labelled=False)


def test_where_no_filling_knows_the_images_it_is_refused(network: nn.Sequential) -> None:
    with pytest.raises(CheckpointError, match="no usual choice knows the clean images"):
        filled(network, shuffled=True)


def test_fillings_that_pool_otherwise_and_do_as_well_are_refused() -> None:
    # Smooth images and weights: the largest of four pixels tells as much as their mean.
    network = small(nn.ReLU(), nn.MaxPool2d(2))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 0.02)
        rows = torch.arange(4).repeat_interleave(4).repeat(4)
        for label in range(3):
            network[7].weight[label] = torch.where(rows == label, 9.0, -3.0)
    with pytest.raises(CheckpointError, match=r"two choices do about as well.*ReLU.*ReLU"):
        filled(network)
