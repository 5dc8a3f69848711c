from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.loading.recognition.recognise import recognise, recognise_names
from backaudit.loading.weights.checkpoint import Checkpoint, read_checkpoint
from backaudit.nets.architectures import ARCHITECTURES, Candidate
from backaudit.nets.torchvision_models import torchvision_models
from tests.loading.samples import parts_of

SOURCE_FILE = SimpleNamespace(sha256="00")
WRN = {"num_classes": 6, "width": 4}


def checkpoint_of(state: dict[str, Tensor], *notes: str) -> Checkpoint:
    return Checkpoint(Path("suspect.pt"), SOURCE_FILE, "torch-zip", state, (), "", {}, notes)


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


def test_equal_candidates_are_rivals(monkeypatch: pytest.MonkeyPatch) -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    twins = [
        Candidate(name, lambda: ARCHITECTURES["resnet10-cifar"](num_classes=6, width=8), 32)
        for name in ("standard", "twin")
    ]
    monkeypatch.setattr("backaudit.loading.recognition.attempts.candidates", lambda _: twins)
    recognised = recognise(checkpoint)
    assert recognised.architecture == "standard"
    assert [rival.architecture for rival in recognised.rivals] == ["twin"]


def test_normalisation_in_the_network_is_taken_out_and_used() -> None:
    network, _ = network_and_checkpoint("resnet10-cifar")
    state = {f"1.{name}": tensor for name, tensor in network.state_dict().items()}
    buffers = {"0.mean": torch.full((1, 3, 1, 1), 0.25), "0.std": torch.full((1, 3, 1, 1), 0.5)}
    recognised = recognise(checkpoint_of(buffers | state))
    assert recognised.architecture == "resnet10-cifar(width=8)"
    assert recognised.metadata == {"mean": [0.25] * 3, "std": [0.5] * 3}
    assert "0.mean" in recognised.assumptions[0]
    assert same_logits(network, recognised.network)


def test_prefix_of_a_wrapper_is_taken_off_and_said() -> None:
    network, _ = network_and_checkpoint("resnet10-cifar")
    state = {f"victim.{name}": tensor for name, tensor in network.state_dict().items()}
    recognised = recognise(checkpoint_of(state))
    assert "victim." in recognised.assumptions[0]
    assert same_logits(network, recognised.network)


def test_plain_chain_is_left_to_be_filled_in() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(576, 3)
    )
    recognised = recognise(checkpoint_of(network.state_dict()))
    assert recognised.chain is not None
    assert recognised.architecture == "chain(1 convolution, 1 linear layer)"
    assert (recognised.num_classes, recognised.in_channels, recognised.input_size) == (3, 1, 28)
    assert same_logits(network, recognised.network, channels=1, size=28)


def test_chain_of_no_usual_size_is_refused_with_a_way_out() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(4 * 37 * 37, 3))
    with pytest.raises(CheckpointError, match="--skeleton"):
        recognise(checkpoint_of({f"x{name}": t for name, t in network.state_dict().items()}))


@pytest.mark.parametrize("name", ["resnet18-cifar", "resnet20", "vgg11-bn-cifar"])
def test_names_are_recognised_without_weights(name: str) -> None:
    network, _ = network_and_checkpoint(name)
    state = {key: tensor.to("meta") for key, tensor in network.state_dict().items()}
    (fit,) = recognise_names(checkpoint_of(state))
    assert (fit.architecture, fit.exact) == (f"{name}(width=8)", True)
    assert (fit.num_classes, fit.in_channels, fit.input_size) == (6, 3, 32)


def test_chain_is_no_exact_fit() -> None:
    state = {"fc1.weight": torch.ones(9, 784, device="meta"), "fc2.weight": torch.ones(5, 9)}
    (fit,) = recognise_names(checkpoint_of(state))
    assert not fit.exact
    assert fit.num_classes == 5


def test_whole_pickled_sequence_needs_no_guess() -> None:
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=3), nn.Tanh()),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3, bias=False),
    )
    checkpoint = replace(checkpoint_of(network.state_dict()), module=parts_of(network))
    recognised = recognise(checkpoint)
    assert recognised.chain is None
    assert same_logits(network, recognised.network)


def test_settings_of_a_whole_pickled_network_are_followed() -> None:
    network, _ = network_and_checkpoint("resnet10-cifar")
    network.conv1.stride = (2, 2)
    network.maxpool = nn.MaxPool2d(3, 2, 1)
    checkpoint = replace(checkpoint_of(network.state_dict()), module=parts_of(network))
    recognised = recognise(checkpoint)
    assert any("conv1, maxpool" in assumption for assumption in recognised.assumptions)
    assert same_logits(network, recognised.network)


def test_what_was_chosen_in_the_file_is_passed_on() -> None:
    _, checkpoint = network_and_checkpoint("resnet10-cifar")
    assert recognise(checkpoint_of(checkpoint.state, "A note.")).assumptions[0] == "A note."
