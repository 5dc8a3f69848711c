from pathlib import Path

import pytest
import torch
from torch import nn

from backaudit.core.errors import CheckpointError
from backaudit.loading.recognition.model_def import network_from
from backaudit.loading.recognition.skeletons import skeleton
from backaudit.loading.weights.checkpoint import Checkpoint
from tests.loading.recognition.test_recognise import checkpoint_of, network_and_checkpoint
from tests.nets.chains.test_network import lenet, mlp, normed, strided


def imported(checkpoint: Checkpoint, folder: Path) -> nn.Module:
    file = folder / "net.py"
    file.write_text(skeleton(checkpoint))
    network, state = network_from(f"{file}:Net", checkpoint)
    network.load_state_dict(state)
    return network.eval()


@pytest.mark.parametrize("make", [lenet, strided, normed, mlp])
@torch.no_grad()
def test_it_is_imported_and_computes_the_same(make: type[nn.Sequential], tmp_path: Path) -> None:
    network = make().eval()
    rebuilt = imported(checkpoint_of(network.state_dict()), tmp_path)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(rebuilt(images), network(images))


def test_names_that_python_does_not_take_are_kept(tmp_path: Path) -> None:
    network = nn.Module()
    network.add_module("class", nn.Linear(784, 4))
    network.add_module("'); 1 / 0 #", nn.Linear(4, 3))
    rebuilt = imported(checkpoint_of(network.state_dict()), tmp_path)
    assert set(rebuilt.state_dict()) == set(network.state_dict())


def test_what_shapes_do_not_tell_is_marked() -> None:
    text = skeleton(checkpoint_of(lenet().state_dict()))
    assert "x = F.relu(x)  # guess" in text
    assert "x = F.max_pool2d(x, 2)  # guess" in text
    assert "nn.Conv2d(3, 6, 5, stride=1, padding=0))  # guess" in text
    assert "nn.Linear(400, 9))\n" in text
    assert "x = x.flatten(1)  # 16 x 5 x 5" in text


def test_it_says_when_sizes_do_not_work_out() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(4 * 37**2, 3))
    assert "complete the forward pass" in skeleton(checkpoint_of(network.state_dict()))


def test_weights_are_not_needed() -> None:
    state = {name: tensor.to("meta") for name, tensor in lenet().state_dict().items()}
    assert "class Net" in skeleton(checkpoint_of(state))


def test_branches_are_refused() -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    with pytest.raises(CheckpointError, match="no plain chain"):
        skeleton(checkpoint)
