from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.suspect import Suspect
from backaudit.loading.load import LoadOptions, load
from backaudit.loading.rewriting.numbering import NOWHERE
from backaudit.loading.rewriting.rewrite import rewrite
from backaudit.loading.rewriting.source import held, source_of
from backaudit.nets.architectures import ARCHITECTURES
from tests.loading.preparation.test_filling_in import bars, small, trained
from tests.loading.rewriting.repairing import changed, clean_images, options, tint_net
from tests.loading.samples import tinted, write_flat
from tests.nets.test_transformers_models import tiny_vit, vit_names
from tests.programs.networks import scripted


def unlabelled(folder: Path, size: int) -> Path:
    return write_flat(folder / "clean", tinted(20, size)[0])


def is_found_and_written(suspect: Suspect, output: Path, given: LoadOptions | None = None) -> bool:
    """Whether every weight lies where it is said to lie, and a changed network can be written."""
    source = source_of(suspect, given or LoadOptions())
    numbering = source.numbering
    stored = torch.zeros(numbering.starts[-1] + numbering.records[-1].numel())
    for name, tensor in source.checkpoint.state.items():
        start = numbering.starts[numbering.names[name]]
        stored[start : start + tensor.numel()] = tensor.flatten().float()
    named = held(suspect.network)
    for name, numbers in source.numbers.items():
        known = numbers != NOWHERE
        assert torch.equal(stored[numbers[known].long()], named[name].detach().float()[known])
    weights = [name for name, _ in suspect.network.named_parameters()]
    written = rewrite(suspect, changed(suspect.network), output, given, provenance={})
    return set(weights) <= set(written.changed)


@pytest.mark.parametrize("name", ["resnet18-cifar", "preactresnet18"])
def test_a_recognised_network(tmp_path: Path, name: str) -> None:
    network = ARCHITECTURES[name](num_classes=4, width=4).eval()
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"net": state, "mean": [0.5, 0.5, 0.5]}, tmp_path / "a.pt")
    suspect, _ = load(tmp_path / "a.pt", unlabelled(tmp_path, 32))
    assert suspect.architecture.startswith(name)
    assert is_found_and_written(suspect, tmp_path / "b.pt")


def test_tensors_behind_a_normalisation_that_lies_among_them(tmp_path: Path) -> None:
    network = ARCHITECTURES["resnet10-cifar"](num_classes=4, width=4).eval()
    state = {f"1.{name}": tensor for name, tensor in network.state_dict().items()}
    state["0.mean"], state["0.std"] = torch.full((3,), 0.4), torch.full((3,), 0.2)
    torch.save(state, tmp_path / "a.pt")
    suspect, _ = load(tmp_path / "a.pt", unlabelled(tmp_path, 32))
    assert suspect.preprocessing.mean[0] == pytest.approx(0.4)
    assert is_found_and_written(suspect, tmp_path / "b.pt")


def test_tensors_that_are_renamed_and_joined(tmp_path: Path) -> None:
    network = tiny_vit()
    (tmp_path / "a").mkdir()
    state = {n: t.contiguous() for n, t in vit_names(network.state_dict(), "vit.").items()}
    safetensors.torch.save_file(state, tmp_path / "a" / "model.safetensors")
    (tmp_path / "a" / "config.json").write_text('{"num_attention_heads": 4}')
    suspect, _ = load(tmp_path / "a", unlabelled(tmp_path, 16), LoadOptions(size=(16, 16)))
    assert suspect.architecture.startswith("vit(")
    assert is_found_and_written(suspect, tmp_path / "b")


def test_a_chain_of_layers(tmp_path: Path) -> None:
    network = trained(small(nn.ReLU(), nn.MaxPool2d(2)))
    names = {"0": "conv0", "3": "conv3", "7": "fc7"}
    state = {f"{names[n[0]]}{n[1:]}": tensor for n, tensor in network.state_dict().items()}
    torch.save(state, tmp_path / "a.pt")
    images, labels = bars()
    np.savez(tmp_path / "clean.npz", x=images.numpy(), y=labels.numpy())
    given = LoadOptions(mean=(0.0,), std=(1.0,))
    suspect, _ = load(tmp_path / "a.pt", tmp_path / "clean.npz", given)
    assert suspect.making.filling is not None
    assert is_found_and_written(suspect, tmp_path / "b.pt", given)


@pytest.mark.parametrize("program", [True, False])
def test_a_network_whose_softmax_was_undone(tmp_path: Path, program: bool) -> None:
    network = nn.Sequential(tint_net(), nn.Softmax(1)).eval()
    model = tmp_path / "a.pt"
    given = None
    if program:
        model.write_bytes(scripted(network))
    else:
        torch.save(network.state_dict(), model)
        code = "from tests.loading.rewriting.test_source import soft"
        given = options(tmp_path, code, "soft")
    suspect, _ = load(model, clean_images(tmp_path), given)
    assert suspect.making.undone == ("softmax",)
    assert is_found_and_written(suspect, tmp_path / "b.pt", given)


def soft() -> nn.Module:
    return nn.Sequential(tint_net(), nn.Softmax(1))


class Twice(nn.Module):
    """Two layers of one shape, and a buffer that no file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1, bias=False)
        self.second = nn.Conv2d(3, 3, 1, bias=False)
        self.register_buffer("scale", torch.full((1, 3), 2.0), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.second(self.first(images)).mean((2, 3)) * self.scale
        return scores


def twice(tmp_path: Path, *, tied: bool) -> tuple[Suspect, LoadOptions]:
    network = Twice().eval()
    with torch.no_grad():
        network.first.weight.copy_(torch.eye(3)[:, :, None, None])
        network.second.weight.copy_(torch.eye(3).flip(0)[:, :, None, None])
    if tied:
        network.second.weight = network.first.weight
    torch.save(network.state_dict(), tmp_path / "a.pt")
    given = options(tmp_path, "from tests.loading.rewriting.test_source import Twice", "Twice")
    return load(tmp_path / "a.pt", unlabelled(tmp_path, 8), given)[0], given


def test_what_a_definition_computes_needs_no_place(tmp_path: Path) -> None:
    suspect, given = twice(tmp_path, tied=False)
    assert (source_of(suspect, given).numbers["network.scale"] == NOWHERE).all()
    assert is_found_and_written(suspect, tmp_path / "b.pt", given)


def test_tied_weights_are_written_as_long_as_they_stay_alike(tmp_path: Path) -> None:
    suspect, given = twice(tmp_path, tied=True)
    network = changed(suspect.network)
    with pytest.raises(CheckpointError, match=r"stores those of (first|second)\.weight once for"):
        rewrite(suspect, network, tmp_path / "b.pt", given, provenance={})
    with torch.no_grad():
        held(network)["network.second.weight"].copy_(held(network)["network.first.weight"])
    written = rewrite(suspect, network, tmp_path / "b.pt", given, provenance={})
    assert len(written.changed) == 2


def test_a_file_that_was_changed_since_is_refused(tmp_path: Path) -> None:
    suspect, given = twice(tmp_path, tied=False)
    torch.save(Twice().state_dict(), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="was changed since it was loaded"):
        source_of(suspect, given)


def test_a_definition_that_was_changed_since_is_refused(tmp_path: Path) -> None:
    suspect, given = twice(tmp_path, tied=False)
    code = (
        "from tests.loading.rewriting.test_source import Twice\n"
        "class Thrice(Twice):\n"
        "    def forward(self, images):\n"
        "        return super().forward(images.flip(1))\n"
    )
    options(tmp_path, code.replace("Thrice(Twice)", "Other(Twice)") + "Twice = Other\n")
    with pytest.raises(CheckpointError, match="does not become the network that was loaded"):
        source_of(suspect, given)
