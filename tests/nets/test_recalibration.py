import pytest
import torch
from torch import nn

from backaudit.nets import recalibration
from backaudit.nets.recalibration import recalibrate, statistics_kept
from tests.toy import clean_set, toy_network

CLEAN = clean_set(per_class=5)
IMAGES = CLEAN.images.float() / 255


def test_statistics_become_those_of_the_images() -> None:
    network, other = toy_network(), toy_network().train()
    assert isinstance(network, nn.Sequential)
    assert isinstance(other, nn.Sequential)
    assert recalibrate(network, CLEAN) == 3
    for last in (1, 4, 7):
        norm, before = network[last], other[:last](IMAGES).detach()
        torch.testing.assert_close(norm.running_mean, before.mean((0, 2, 3)))
        torch.testing.assert_close(norm.running_var, before.var((0, 2, 3)))


def test_statistics_are_averaged_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recalibration, "batch_size", lambda _: 10)
    network = toy_network()
    assert isinstance(network, nn.Sequential)
    recalibrate(network, CLEAN)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    parts = [network[0](part).detach() for part in IMAGES[order].split(10)]
    means = torch.stack([part.mean((0, 2, 3)) for part in parts])
    variances = torch.stack([part.var((0, 2, 3)) for part in parts])
    torch.testing.assert_close(network[1].running_mean, means.mean(0))
    torch.testing.assert_close(network[1].running_var, variances.mean(0))


class Aside(nn.Module):
    """A network with batch norm that does not run, and some that has no statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.body = toy_network()
        self.unused = nn.BatchNorm2d(4)
        self.bare = nn.BatchNorm2d(3, track_running_stats=False)
        nn.init.constant_(self.unused.get_buffer("running_mean"), 0.25)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(images + 0 * self.bare(images))
        return logits


def test_layers_that_do_not_run_keep_what_they_have() -> None:
    network = Aside().eval()
    assert recalibrate(network, CLEAN) == 3
    assert float(network.unused.get_buffer("running_mean").mean()) == 0.25
    assert network.bare.running_mean is None


def test_all_but_the_statistics_is_left_as_it_was() -> None:
    network = toy_network()
    assert isinstance(network, nn.Sequential)
    network.insert(3, nn.Dropout(0.9))
    network.eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    recalibrate(network, CLEAN)
    once = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    changed = {name for name, tensor in once.items() if not torch.equal(tensor, before[name])}
    assert {name.split(".")[1] for name in changed} == {"running_mean", "running_var"}
    assert {module.momentum for module in network if isinstance(module, nn.BatchNorm2d)} == {0.1}
    assert not any(module.training for module in network.modules())
    recalibrate(network, CLEAN)
    assert all(torch.equal(tensor, once[name]) for name, tensor in network.state_dict().items())


def test_a_network_without_batch_norm_is_left_alone() -> None:
    network = toy_network(norm=lambda width: nn.GroupNorm(4, width))
    assert recalibrate(network, CLEAN) == 0


def test_statistics_are_kept_while_batches_are_normalised_by_their_own() -> None:
    network, tracking = toy_network().train(), toy_network().train()
    before = {name: tensor.clone() for name, tensor in network.named_buffers()}
    with statistics_kept(network):
        logits = network(IMAGES)
    torch.testing.assert_close(logits, tracking(IMAGES))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.named_buffers())
    network(IMAGES)
    assert all(not torch.equal(tensor, before[name]) for name, tensor in network.named_buffers())
