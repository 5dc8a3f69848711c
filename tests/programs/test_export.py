import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from tests.files.samples import torch_bytes
from tests.programs.networks import (
    NETWORKS,
    Plain,
    Residual,
    built,
    contents,
    exported,
    graph_edited,
    images,
    network,
    tensors,
)
from tests.programs.test_torchscript import Mixes, TracedTraining, layers

WAYS: dict[str, dict[str, Any]] = {
    "one": {"count": 1},
    "four": {"count": 4},
    "free": {"count": 2, "free": True},
}


def saved(made: nn.Module, shape: tuple[int, ...], way: str) -> bytes:
    options = dict(WAYS[way])
    return exported(made, images(options.pop("count"), shape), **options)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NETWORKS)
def test_rebuilt_with_the_same_answers_and_layers(tmp_path: Path, name: str, way: str) -> None:
    kind, shape = NETWORKS[name]
    made = network(kind)
    found = built(tmp_path, saved(made, shape, way))
    for count in (1, 3):
        batch = images(count, shape)
        assert torch.equal(found.network(batch), made(batch))
    assert layers(found.network) == layers(made)
    assert (found.in_channels, found.input_size) == (shape[0], shape[1:])
    assert sum(p.numel() for p in found.network.parameters()) == sum(
        p.numel() for p in made.parameters()
    )
    found.network(images(2, shape)).sum().backward()
    assert all(p.grad is not None for p in found.network.parameters())


def test_core_operators_become_layers_too(tmp_path: Path) -> None:
    made = network(Plain)
    example = images(1, (3, 32, 32))
    found = built(tmp_path, exported(made, example, core=True)).network
    assert torch.equal(found(images(3, (3, 32, 32))), made(images(3, (3, 32, 32))))
    assert layers(found) == layers(made)
    assert isinstance(found.get_submodule("fc"), nn.Linear)


def test_tensors_have_the_names_of_the_state_dict(tmp_path: Path) -> None:
    made = network(Residual)
    found = tensors(contents(tmp_path, saved(made, (3, 32, 32), "one")).saved)
    state = made.state_dict()
    assert found.keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.items())


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    made = network(Plain).half()
    data = exported(made, images(1, (3, 32, 32)).half())
    batch = images(2, (3, 32, 32))
    assert torch.equal(built(tmp_path, data).network(batch), made.float()(batch))


class Two(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (x + y).mean([2, 3])


def test_two_inputs_are_refused(tmp_path: Path) -> None:
    example = images(1, (3, 8, 8))
    program = torch.export.export(Two(), (example, example))
    torch.export.save(program, tmp_path / "two.pt2")
    found = contents(tmp_path, (tmp_path / "two.pt2").read_bytes())
    assert found.problem == "takes 2 inputs, and not one of images"


def test_a_batch_that_is_mixed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="mixes the images"):
        built(tmp_path, exported(network(Mixes), images(2, (3, 8, 8)), free=True))


def test_an_export_of_training_is_refused(tmp_path: Path) -> None:
    data = exported(TracedTraining().train(), images(2, (3, 8, 8)))
    with pytest.raises(CheckpointError, match="in training mode: call network"):
        built(tmp_path, data)


def changed_operator(target: str) -> Any:
    def change(module: Any) -> None:
        nodes = module["graph"]["nodes"]
        next(n for n in nodes if n["target"].startswith("torch.ops.aten.relu"))["target"] = target

    return change


def test_an_operator_that_is_known_but_not_followed_is_named(tmp_path: Path) -> None:
    plain = exported(network(Plain), images(1, (3, 32, 32)))
    data = graph_edited(plain, changed_operator("torch.ops.aten.erfinv.default"))
    with pytest.raises(CheckpointError, match="aten::erfinv, which is not supported"):
        built(tmp_path, data)


def test_a_name_that_was_not_made_is_refused(tmp_path: Path) -> None:
    def change(module: Any) -> None:
        module["graph"]["nodes"][-1]["inputs"][0]["arg"] = {"as_tensor": {"name": "nowhere"}}

    with pytest.raises(CheckpointError, match="uses nowhere before it is made"):
        built(tmp_path, graph_edited(exported(network(Plain), images(1, (3, 32, 32))), change))


def test_the_layout_of_older_versions(tmp_path: Path) -> None:
    made = network(Plain)
    newer = exported(made, images(1, (3, 32, 32)))
    with zipfile.ZipFile(io.BytesIO(newer)) as archive:
        graph = next(archive.read(name) for name in archive.namelist() if "/models/" in name)
    path = tmp_path / "older.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("serialized_exported_program.json", graph)
        archive.writestr("serialized_state_dict.pt", torch_bytes(made.state_dict()))
        archive.writestr("serialized_constants.pt", torch_bytes({}))
        archive.writestr("version", b"5.1")
    found = built(tmp_path, path.read_bytes()).network
    assert torch.equal(found(images(3, (3, 32, 32))), made(images(3, (3, 32, 32))))
