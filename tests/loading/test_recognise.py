from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.loading.checkpoint import Checkpoint, read_checkpoint
from backaudit.loading.recognise import recognise
from backaudit.nets.architectures import ARCHITECTURES, Candidate
from backaudit.nets.torchvision_models import torchvision_models

WRN = {"num_classes": 6, "width": 4}


def checkpoint_of(state: dict[str, Tensor], *notes: str) -> Checkpoint:
    return Checkpoint(Path("suspect.pt"), "00", "torch-zip", state, (), "", {}, notes)


def network_and_checkpoint(name: str) -> tuple[nn.Module, Checkpoint]:
    network = ARCHITECTURES[name](num_classes=6, width=8).eval()
    return network, checkpoint_of(network.state_dict())


@torch.no_grad()
def same_logits(one: nn.Module, other: nn.Module, channels: int = 3, size: int = 32) -> bool:
    images = torch.rand(2, channels, size, size)
    return torch.equal(one(images), other(images))


@pytest.mark.parametrize("name", ["resnet18-cifar", "resnet20", "vgg11-bn-cifar", "preactresnet18"])
def test_recognised_network_computes_the_same(name: str) -> None:
    network, checkpoint = network_and_checkpoint(name)
    recognised = recognise(checkpoint)
    assert recognised.architecture == f"{name}(width=8)"
    assert (recognised.num_classes, recognised.in_channels, recognised.input_size) == (6, 3, 32)
    assert same_logits(network, recognised.network)
    assert "names and shapes" in recognised.how


def test_network_is_ready_for_an_audit() -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    network = recognise(checkpoint).network
    assert not network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert not any(tensor.is_meta for tensor in network.state_dict().values())


def test_from_a_file_in_a_wrapper(tmp_path: Path) -> None:
    network, _ = network_and_checkpoint("resnet10-cifar")
    state = {f"module.{name}": tensor.half() for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 1}, tmp_path / "suspect.pt")
    recognised = recognise(read_checkpoint(tmp_path / "suspect.pt"))
    assert same_logits(network.half().float(), recognised.network)
    assert recognised.network.state_dict()["bn1.num_batches_tracked"].dtype == torch.int64
    assert any("float16" in assumption for assumption in recognised.assumptions)


def test_batch_counters_may_be_missing() -> None:
    network, checkpoint = network_and_checkpoint("resnet10-cifar")
    state = {n: t for n, t in checkpoint.state.items() if not n.endswith("num_batches_tracked")}
    assert same_logits(network, recognise(checkpoint_of(state)).network)


def test_torchvision_classifier_with_other_classes_and_channels() -> None:
    network = torchvision_models().squeezenet1_1(num_classes=5).eval()
    network.features[0] = nn.Conv2d(1, 64, 3, 2)
    recognised = recognise(checkpoint_of(network.state_dict()))
    assert recognised.architecture == "squeezenet1_1"
    assert (recognised.num_classes, recognised.in_channels, recognised.input_size) == (5, 1, 224)
    assert same_logits(network, recognised.network, channels=1, size=64)


def test_torchvision_names_with_a_3x3_stem_mean_the_cifar_network() -> None:
    models = torchvision_models()
    network = models.resnet.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=5)
    network.conv1, network.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    recognised = recognise(checkpoint_of(network.state_dict()))
    assert recognised.architecture == "resnet10-cifar(width=64)"
    assert any("max pooling" in assumption for assumption in recognised.assumptions)
    assert same_logits(network.eval(), recognised.network)


def test_library_networks_go_before_our_own_of_the_same_tensors() -> None:
    with torch.device("meta"):
        shapes = torchvision_models().resnet18(num_classes=5).state_dict()
    state = {name: torch.zeros(t.shape, dtype=t.dtype) for name, t in shapes.items()}
    assert recognise(checkpoint_of(state)).architecture == "resnet18"


def test_refusal_names_the_nearest_and_what_differs() -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    state = dict(checkpoint.state) | {"layer2.0.conv1.weight": torch.ones(15, 8, 3, 3)}
    del state["linear.bias"]
    state["surprise.weight"] = torch.ones(1)
    with pytest.raises(CheckpointError) as caught:
        recognise(checkpoint_of(state))
    message = str(caught.value)
    assert "suspect.pt" in message
    assert "Nearest is resnet10-cifar(width=8)" in message
    assert "missing in the file: linear.bias" in message
    assert "not in the network: surprise.weight" in message
    assert "layer2.0.conv1.weight (network 16x8x3x3, file 15x8x3x3)" in message
    assert "--arch" in message
    assert "--model-def" in message


def test_long_lists_of_differences_are_cut() -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    extra = {f"extra{index}.weight": torch.ones(1) for index in range(9)}
    with pytest.raises(CheckpointError, match=r"extra3\.weight and 5 more"):
        recognise(checkpoint_of(checkpoint.state | extra))


def test_integers_instead_of_weights_do_not_fit() -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    counted = {"linear.weight": torch.ones(6, 64, dtype=torch.int8)}
    with pytest.raises(CheckpointError, match=r"linear\.weight .*file 6x64 integer"):
        recognise(checkpoint_of(checkpoint.state | counted))


@pytest.mark.parametrize(
    "state",
    [
        {"fc1.weight": torch.ones(3, 4), "fc1.bias": torch.ones(3)},
        {"conv1.weight": torch.ones(1, 1, 3, 3), "block1.layer.0.conv1.weight": torch.ones(2)},
        {"fc.weight": torch.ones(2, 2), "layer1.0.conv1.weight": torch.ones(0, 0, 3, 3)},
        {"class_token": torch.ones(2), "heads.head.weight": torch.ones(2, 2)},
    ],
)
def test_tensors_like_nothing_known_are_refused(state: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match="not recognised"):
        recognise(checkpoint_of(state))


@pytest.mark.parametrize("arch", ["resnet10-cifar", "ResNet10-CIFAR", "resnet10-cifar(width=8)"])
def test_named_architecture_at_any_width(arch: str) -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    recognised = recognise(checkpoint, arch=arch)
    assert recognised.architecture == "resnet10-cifar(width=8)"
    assert "--arch" in recognised.how


@pytest.mark.parametrize("arch", ["wrn", "wrn-16-1"])
def test_wide_resnet_by_name(arch: str) -> None:
    network = ARCHITECTURES["wrn"](num_classes=6)
    assert recognise(checkpoint_of(network.state_dict()), arch=arch).architecture == "wrn-16-1"


@pytest.mark.parametrize(
    ("arch", "difference"),
    [
        ("wrn-22-2", "block1.layer.0.bn1.weight"),
        ("resnet20", "layer1.1.conv1.weight"),
        ("resnet18", "conv1.weight"),
        ("vit_b_16", "class_token"),
    ],
)
def test_wrong_arch_says_what_differs_and_what_fits(arch: str, difference: str) -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    with pytest.raises(CheckpointError) as caught:
        recognise(checkpoint, arch=arch)
    assert f"do not fit {arch}" in str(caught.value)
    assert difference in str(caught.value)
    assert "They fit resnet10-cifar(width=8) exactly" in str(caught.value)


def test_unknown_arch_names_the_nearest() -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    with pytest.raises(CheckpointError, match=r"'resnet18-cifer'.*resnet18-cifar"):
        recognise(checkpoint, arch="resnet18-cifer")


def test_arch_and_model_def_exclude_each_other() -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    with pytest.raises(CheckpointError, match="exclude each other"):
        recognise(checkpoint, arch="resnet10-cifar", model_def="file.py:Net")


def test_equal_candidates_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    twins = [
        Candidate(name, lambda: ARCHITECTURES["resnet10-cifar"](num_classes=6, width=8), 32)
        for name in ("standard", "twin")
    ]
    monkeypatch.setattr("backaudit.loading.recognise.candidates", lambda _: twins)
    recognised = recognise(checkpoint)
    assert recognised.architecture == "standard"
    assert recognised.assumptions == ("The same tensors fit twin too; --arch chooses.",)


def test_what_was_chosen_in_the_file_is_passed_on() -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    assert recognise(checkpoint_of(checkpoint.state, "A note.")).assumptions[0] == "A note."
