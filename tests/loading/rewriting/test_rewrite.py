"""Every format: what is written is the repaired network, and only its weights are others."""

import json
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from backaudit.core.errors import OutputError
from tests.loading.rewriting.repairing import (
    IMAGES,
    TOLD,
    digest,
    options,
    repair,
    same_to_a_scanner,
    tint_net,
)
from tests.programs.networks import exported, quietly, scripted, traced


def saved(path: Path, content: Any, **named: Any) -> Path:
    torch.save(content, path, **named)
    return path


def read(path: Path) -> Any:
    return torch.load(path, weights_only=True)  # noqa: TID251


def bare(state: dict[str, Tensor]) -> Any:
    return state


def wrapped(state: dict[str, Tensor]) -> Any:
    moments = {0: {"momentum_buffer": torch.ones(3, 3), "step": torch.tensor(9.0)}}
    return {
        "epoch": 7,
        "class_names": ["blue", "green", "red"],
        "model": {"state_dict": OrderedDict((f"module.{n}", t) for n, t in state.items())},
        "optimizer": {"state": moments, "param_groups": [{"lr": 0.1, "params": [0]}]},
    }


def listed(state: dict[str, Tensor]) -> Any:
    return [state]


def turned(state: dict[str, Tensor]) -> Any:
    """Tensors that do not lie in the order of their dimensions."""
    return {n: t.t().contiguous().t() if t.dim() == 2 else t for n, t in state.items()}


def sharing(state: dict[str, Tensor]) -> Any:
    """All tensors in one storage, with numbers between them that belong to none."""
    floats = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    whole = torch.full((sum(tensor.numel() + 5 for tensor in floats.values()),), 77.0)
    made, at = dict(state), 0
    for name, tensor in floats.items():
        made[name] = whole[at + 2 : at + 2 + tensor.numel()].view(tensor.shape)
        made[name].copy_(tensor)
        at += tensor.numel() + 5
    return made


@pytest.mark.parametrize("shape", [bare, wrapped, listed, turned, sharing])
@pytest.mark.parametrize("zipped", [True, False])
def test_state_dicts(tmp_path: Path, shape: Any, zipped: bool) -> None:
    model = saved(
        tmp_path / "a.pt", shape(tint_net().state_dict()), _use_new_zipfile_serialization=zipped
    )
    done = repair(model, tmp_path / "b.pt", options(tmp_path))
    assert same_to_a_scanner(done)
    assert model.stat().st_size == done.written.path.stat().st_size
    before, after = flat(read(model)), flat(read(done.written.path))
    assert list(before) == list(after)
    weights = {f"network.{n}": t for n, t in tint_net().state_dict().items()}
    for name, value in before.items():
        key = next((k for k in weights if name.endswith(k.removeprefix("network."))), None)
        if key is None or not isinstance(value, Tensor):
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(after[name]))
        else:
            new = done.network.state_dict()[key]
            assert torch.equal(after[name], new)
            assert (value.dtype, value.stride()) == (after[name].dtype, after[name].stride())
    assert set(done.written.changed) == set(weights)


def flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {path: hash(value) if isinstance(value, str) else value}
    return {n: v for k, each in items for n, v in flat(each, f"{path}.{k}").items()}


@pytest.mark.parametrize(
    ("dtype", "precision"),
    [(torch.float16, 5e-3), (torch.bfloat16, 2e-2), (torch.float64, 1e-5)],
)
def test_types_are_kept_and_what_is_not_changed_keeps_its_precision(
    tmp_path: Path, dtype: torch.dtype, precision: float
) -> None:
    state = {n: t.to(dtype) if t.dim() else t for n, t in tint_net().state_dict().items()}
    if dtype is torch.float64:
        state["fc.weight"] = state["fc.weight"] + 1e-12
    model = saved(tmp_path / "a.pt", state)
    done = repair(model, tmp_path / "b.pt", options(tmp_path))
    assert same_to_a_scanner(done, precision)
    after = read(done.written.path)
    for name, tensor in done.network.state_dict().items():
        assert torch.equal(after[name.removeprefix("network.")], tensor.to(after[name[8:]].dtype))
        assert after[name[8:]].dtype == state[name[8:]].dtype


def test_only_weights_and_checksums_differ_and_every_checksum_is_right(tmp_path: Path) -> None:
    model = saved(tmp_path / "a.pt", wrapped(tint_net().state_dict()))
    done = repair(model, tmp_path / "b.pt", options(tmp_path))
    with zipfile.ZipFile(model) as one, zipfile.ZipFile(done.written.path) as other:
        assert other.testzip() is None
        differing = {n for n in one.namelist() if one.read(n) != other.read(n)}
        places = [[(e.filename, e.header_offset) for e in z.infolist()] for z in (one, other)]
    assert places[0] == places[1]
    assert len(differing) == 7
    assert all("/data/" in name for name in differing)


def test_a_network_that_was_pickled_whole(tmp_path: Path) -> None:
    layers = [nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(3, 3)).eval()
    fill(network)
    model = saved(tmp_path / "a.pt", network)
    done = repair(model, tmp_path / "b.pt")
    assert same_to_a_scanner(done)
    again = torch.load(done.written.path, weights_only=False)  # noqa: TID251
    images = (IMAGES.float() / 255 - mean(done)) / std(done)
    assert torch.allclose(again.eval()(images), done.logits(), atol=1e-4)


def fill(network: Any) -> None:
    known = tint_net()
    with torch.no_grad():
        network[0].weight.copy_(known.conv.weight)
        network[0].bias.zero_()
        network[1].load_state_dict(known.bn.state_dict())
        network[4].weight.copy_(known.fc.weight)


def mean(done: Any) -> Tensor:
    return torch.tensor(done.again.preprocessing.mean)[:, None, None]


def std(done: Any) -> Tensor:
    return torch.tensor(done.again.preprocessing.std)[:, None, None]


@pytest.mark.parametrize("kind", ["traced", "scripted", "exported"])
def test_programs_of_torch(tmp_path: Path, kind: str) -> None:
    network, example = tint_net(), IMAGES[:2].float()
    makers = {
        "traced": lambda: traced(network, example),
        "scripted": lambda: scripted(network),
        "exported": lambda: exported(network, example, free=True),
    }
    (tmp_path / "a.pt2").write_bytes(makers[kind]())
    done = repair(tmp_path / "a.pt2", tmp_path / "b.pt2")
    assert same_to_a_scanner(done)
    images = (IMAGES.float() / 255 - mean(done)) / std(done)
    if kind == "exported":
        again = torch.export.load(done.written.path).module()
    else:
        again = quietly(lambda: torch.jit.load(done.written.path))
    assert torch.allclose(again(images), done.logits(), atol=1e-4)
    with zipfile.ZipFile(done.written.path) as archive:
        assert archive.testzip() is None


def test_safetensors_keep_their_metadata_and_order_and_say_where_they_come_from(
    tmp_path: Path,
) -> None:
    model = tmp_path / "a.safetensors"
    safetensors.torch.save_file(tint_net().state_dict(), model, {"format": "pt", "ü": "é"})
    done = repair(model, tmp_path / "b.safetensors", options(tmp_path))
    assert same_to_a_scanner(done)
    before, after = header(model), header(done.written.path)
    assert list(before) == list(after)
    assert after.pop("__metadata__") == {**before.pop("__metadata__"), **TOLD}
    assert before == after
    twice = repair(done.written.path, tmp_path / "c.safetensors", options(tmp_path))
    assert header(twice.written.path)["__metadata__"]["backaudit.method (2)"] == "noise-ft"
    loaded = safetensors.torch.load_file(done.written.path)
    assert torch.equal(loaded["fc.weight"], done.network.state_dict()["network.fc.weight"])


def header(path: Path) -> Any:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    return json.loads(data[8 : 8 + length])


def hub_folder(path: Path, state: dict[str, Tensor], **files: bytes) -> Path:
    path.mkdir()
    names = list(state)
    halves = {"model-1.safetensors": names[:3], "model-2.safetensors": names[3:]}
    for shard, held in halves.items():
        safetensors.torch.save_file({n: state[n] for n in held}, path / shard)
    index = {"weight_map": {n: shard for shard, held in halves.items() for n in held}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    (path / "config.json").write_text('{"num_classes": 3}')
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


def test_a_hub_folder_is_copied_whole_without_other_weights(tmp_path: Path) -> None:
    old = {"README.md": b"tints", "pytorch_model.bin": b"old", "training_args.bin": b"x"}
    model = hub_folder(tmp_path / "a", tint_net().state_dict(), **old)
    (model / ".git").mkdir()
    (model / "assets").mkdir()
    (model / "assets" / "cat.txt").write_text("cat")
    (model / "secret.txt").symlink_to(tmp_path / "net.py")
    done = repair(model, tmp_path / "b", options(tmp_path))
    assert same_to_a_scanner(done)
    left_out = {".git", "pytorch_model.bin", "training_args.bin", "secret.txt"}
    assert set(done.written.left_out) == left_out
    made = digest(tmp_path / "b")
    weights = {"model-1.safetensors", "model-2.safetensors"}
    assert made.keys() == digest(model).keys() - left_out
    assert all(data == digest(model)[n] for n, data in made.items() if n not in weights)


def test_an_index_of_shards_brings_its_shards_along(tmp_path: Path) -> None:
    model = hub_folder(tmp_path / "a", tint_net().state_dict()) / "model.safetensors.index.json"
    (tmp_path / "b").mkdir()
    output = tmp_path / "b" / "weights.index.json"
    done = repair(model, output, options(tmp_path))
    assert same_to_a_scanner(done)
    assert output.read_bytes() == model.read_bytes()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hub_folder_of_torch_files_replaces_an_older_result_only_by_force(
    tmp_path: Path, zipped: bool
) -> None:
    model = tmp_path / "a"
    model.mkdir()
    (model / "config.json").write_text('{"num_classes": 3}')
    named = {"_use_new_zipfile_serialization": zipped}
    saved(model / "pytorch_model.bin", tint_net().state_dict(), **named)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "pytorch_model.bin").write_text("older")
    with pytest.raises(OutputError, match="exists; remove it"):
        repair(model, tmp_path / "b", options(tmp_path))
    done = repair(model, tmp_path / "b", options(tmp_path), force=True)
    assert same_to_a_scanner(done)
    assert digest(tmp_path / "b").keys() == digest(model).keys()
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "clean", "net.py"}
