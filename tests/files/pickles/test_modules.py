import io
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.files.limits import USUAL
from backaudit.files.pickles.modules import Part, is_module, module_state, module_tree
from backaudit.files.pickles.torch_types import stored
from backaudit.files.pickles.values import Inert, Reference
from backaudit.files.records import Storage, TensorRecord
from backaudit.files.survey import survey
from backaudit.loading.weights.dense import tensor_of
from backaudit.nets.torchvision_models import torchvision_models
from tests.files.pickles.reading import Archive, executed, saved
from tests.files.samples import legacy_bytes
from tests.hostile.assembler import Call, Global, op, program, push


class Tied(nn.Module):
    """Two names for one weight, a buffer that is not saved, one module under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.again = self.first
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("scratch", torch.zeros(3), persistent=False)
        self.register_parameter("nothing", None)
        self.shift = torch.ones(3)


def _vision(name: str, **options: Any) -> Callable[[], nn.Module]:
    return lambda: getattr(torchvision_models(), name)(weights=None, **options)


def _vit() -> nn.Module:
    kind = torchvision_models().VisionTransformer
    made: nn.Module = kind(
        image_size=32, patch_size=16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8
    )
    return made


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "tied": Tied,
    "resnet18": _vision("resnet18", width_per_group=64),
    "mobilenet_v2": _vision("mobilenet_v2", width_mult=0.1),
    "googlenet": _vision("googlenet", init_weights=False),
    "vit": _vit,
    "parallel": lambda: nn.DataParallel(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))),
    "half": lambda: nn.Linear(2, 2).half(),
    "bfloat16": lambda: nn.Linear(2, 2).bfloat16(),
    "attention": lambda: nn.TransformerEncoderLayer(4, 2, 4),
}


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS.keys())
def test_whole_networks_are_told_as_torch_tells_them(build: Callable[[], nn.Module]) -> None:
    network = build()
    found = saved(network)
    assert is_module(found)
    state = module_state(found)
    wanted: dict[str, Tensor] = network.state_dict()
    assert list(state) == list(wanted)
    for name, tensor in wanted.items():
        made = tensor_of(state[name])
        assert (made.dtype, made.stride()) == (tensor.dtype, tensor.stride())
        assert torch.equal(made, tensor)
    named = dict(network.named_modules(remove_duplicate=False))
    tree = module_tree(found)
    assert [part.path for part in tree] == list(named)
    assert [part.kind.name for part in tree] == [
        type(module).__qualname__ for module in named.values()
    ]


@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::torch.serialization.SourceChangeWarning"
)
def test_whole_networks_in_legacy_files_name_their_classes_as_data(tmp_path: Path) -> None:
    network = Tied()
    path = tmp_path / "network.pt"
    path.write_bytes(legacy_bytes(network))
    state = module_state(survey(path, USUAL).contents.saved)
    assert list(state) == list(network.state_dict())
    assert torch.equal(tensor_of(state["second.weight"]), network.first.weight)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_scripted_networks_are_told_as_torch_tells_them() -> None:
    network = torch.jit.script(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval())
    stream = io.BytesIO()
    torch.jit.save(network, stream)
    archive = Archive(stream.getvalue())
    data = archive.archive.read(f"{archive.root}/data.pkl")
    state = module_state(executed(data, persistent=stored(archive)).value)
    assert list(state) == list(network.state_dict())


def test_tied_weights_stay_one_tensor() -> None:
    state = module_state(saved(Tied()))
    assert state["first.weight"] is state["second.weight"]


def test_settings_are_those_of_the_layer() -> None:
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1, groups=1, bias=False),
        nn.BatchNorm2d(4, eps=1e-3),
        nn.ReLU(inplace=True),
        nn.Dropout(0.3),
    )
    settings = [part.settings for part in module_tree(saved(layers))]
    assert settings[0] == {}
    convolution = {"in_channels": 3, "kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1)}
    assert convolution.items() <= settings[1].items()
    assert {"num_features": 4, "eps": 1e-3, "affine": True}.items() <= settings[2].items()
    assert settings[3] == {"inplace": True}
    assert settings[4] == {"p": 0.3, "inplace": False}


def test_hooks_functions_and_loose_tensors_are_told() -> None:
    network = Tied()
    network.first.register_forward_hook(print)
    network.norm = partial(nn.LayerNorm, eps=1e-6)
    network.kind = nn.Linear
    parts = {part.path: part for part in module_tree(saved(network))}
    assert parts[""] == Part(
        "",
        Reference(__name__, "Tied"),
        settings={},
        hooks=("norm", "kind"),
        others=("shift",),
    )
    assert parts["first"].hooks == ("_forward_hooks",)
    assert parts["second"].hooks == ()


@pytest.mark.parametrize("value", [None, {}, "x", Inert(Reference("models", "Net"))])
def test_other_values_are_no_modules(value: object) -> None:
    assert not is_module(value)


NET = push(Call(Global("models", "Net"), way="NEWOBJ"))


def _tables(children: bytes) -> bytes:
    """State of a module with the given pairs of name and child."""
    tables = push({"_parameters": {}, "_buffers": {}})
    return tables + push("_modules") + b"}(" + children + b"u" + op("SETITEM") + op("BUILD")


def test_modules_that_contain_themselves_are_refused() -> None:
    found = executed(program(NET, b"\x94", _tables(push("self") + b"h\x00"))).value
    assert is_module(found)
    with pytest.raises(CheckpointError, match="contain one another"):
        module_state(found)


def test_modules_that_multiply_are_refused() -> None:
    layers = [NET, _tables(b""), b"\x94"]
    for index in range(40):
        twice = push("a") + b"j" + index.to_bytes(4, "little")
        layers += [NET, _tables(twice + twice.replace(b"a", b"b", 1)), b"\x94"]
    found = executed(program(*layers)).value
    with pytest.raises(CheckpointError, match="contain one another"):
        module_tree(found)


def _leaf(name: str) -> Inert:
    record = TensorRecord("float32", (), (), 0, Storage(None, 0, 4))
    tables: dict[str, object] = {"_parameters": {name: record}, "_buffers": {}, "_modules": {}}
    return Inert(Reference("models", "Net"), state=tables)


def test_two_tensors_of_one_name_are_refused() -> None:
    root = _leaf("a.weight")
    assert isinstance(root.state, dict)
    root.state["_modules"] = {"a": _leaf("weight")}
    with pytest.raises(CheckpointError, match="two tensors of one name"):
        module_state(root)


def test_objects_of_torchscript_name_their_tensors_by_attributes() -> None:
    record = TensorRecord("float32", (), (), 0, Storage(None, 0, 4))
    kind = Reference("__torch__.torch.nn.modules.conv", "Conv2d")
    child = Inert(kind, state={"weight": record, "training": False})
    root = Inert(kind, state=OrderedDict(training=False, conv=child))
    assert is_module(root)
    assert module_state(root) == {"conv.weight": record}
    assert [part.path for part in module_tree(root)] == ["", "conv"]


def test_an_odd_list_of_transient_buffers_hides_none() -> None:
    root = _leaf("weight")
    assert isinstance(root.state, dict)
    root.state["_buffers"] = {"mean": root.state["_parameters"]["weight"]}
    root.state["_non_persistent_buffers_set"] = Inert(Reference("models", "All"))
    assert list(module_state(root)) == ["weight", "mean"]


def test_one_large_module_under_many_paths_is_refused() -> None:
    large = Inert(Reference("m", "Net"), state=_table() | {f"a{i}": i for i in range(1000)})
    wide = Inert(Reference("m", "Net"), state=_table(**{f"c{i}": large for i in range(1000)}))
    with pytest.raises(CheckpointError, match="contain one another"):
        module_tree(wide)


def test_names_that_grow_without_end_are_refused() -> None:
    module = Inert(Reference("m", "Net"), state=_table())
    for _ in range(30):
        module = Inert(Reference("m", "Net"), state=_table(**{"n" * 100: module}))
    with pytest.raises(CheckpointError, match="contain one another"):
        module_state(module)


def _table(**modules: Inert) -> dict[str, object]:
    return {"_parameters": {}, "_buffers": {}, "_modules": modules}
