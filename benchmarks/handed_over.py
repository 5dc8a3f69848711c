"""Networks of torchvision and timm with random numbers, saved in every way that people use."""

import json
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from backaudit.core.seeding import seeded
from backaudit.nets.timm_models import timm
from backaudit.nets.torchvision_models import torchvision_models

CLASSES = 7
LARGEST_LOGIT = 10.0
SHARDS = 3
TORCHVISION = (
    *("resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "densenet121", "vgg11_bn"),
    *("efficientnet_b0", "regnet_y_400mf", "shufflenet_v2_x1_0", "googlenet", "squeezenet1_1"),
    *("convnext_tiny", "vit_b_16", "swin_t"),
)
TIMM = (
    *("resnet18", "resnet50", "vit_tiny_patch16_224", "deit_tiny_patch16_224", "convnext_atto"),
    *("efficientnet_b0", "mobilenetv3_small_100", "regnetx_002", "densenet121", "mixer_s32_224"),
)
State = dict[str, Tensor]


def made(library: str, name: str) -> nn.Module:
    """A network in eval mode for 7 classes whose numbers are all random, with logits up to 10."""
    with seeded(0):
        return _made(library, name)


def _made(library: str, name: str) -> nn.Module:
    if library == "timm":
        network: nn.Module = timm().create_model(name, num_classes=CLASSES)
    else:
        options = {"init_weights": False} if name == "googlenet" else {}
        network = torchvision_models().get_model(name, num_classes=CLASSES, **options)
    with torch.no_grad():
        for parameter in network.parameters():
            _randomised(parameter)
        for buffer_name, buffer in network.named_buffers():
            if buffer_name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
            elif buffer_name.endswith("running_mean"):
                buffer.normal_(0, 0.3)
        network.eval()
        logits = network(torch.rand(2, 3, *[side(library, network)] * 2))
        for parameter in network.parameters():
            if parameter.shape[0] == CLASSES:
                parameter.mul_(LARGEST_LOGIT / logits.abs().max())
    return network


def _randomised(tensor: Tensor) -> None:
    """Spread what starts as one number: norms, biases, layer scales, heads, embeddings."""
    if bool((tensor == tensor.flatten()[0]).all()):
        nearly_nothing = bool(tensor.flatten()[0].abs() < 0.1)
        tensor.copy_(0.2 * torch.randn_like(tensor) + (0 if nearly_nothing else 1))


def side(library: str, network: nn.Module) -> int:
    """Height and width in pixels of its images."""
    if library == "timm":
        usual: int = network.pretrained_cfg["input_size"][-1]  # type: ignore[index, assignment]
        return usual
    return 224


def rounded(network: nn.Module) -> nn.Module:
    """A copy whose numbers went through half precision."""
    return deepcopy(network).half().float()


def ways(library: str, example: Tensor) -> dict[str, Callable[[nn.Module, Path], Path]]:
    """Name of a way to save a network -> function of the network and an empty folder.

    Args:
        library: that the network is of.
        example: one image, for what follows a network at work.
    """
    found: dict[str, Callable[[nn.Module, Path], Path]] = {
        "state dict": lambda n, at: _saved(n.state_dict(), at),
        "state dict, legacy": lambda n, at: _saved(n.state_dict(), at, legacy=True),
        "state dict, half": lambda n, at: _saved(_half(n), at),
        "state dict of DataParallel": lambda n, at: _saved(nn.DataParallel(n).state_dict(), at),
        "attack_result of BackdoorBench": lambda n, at: _saved(_attack_result(n), at),
        "safetensors": _safetensors,
        "safetensors, half": lambda n, at: _safetensors(deepcopy(n).half(), at),
        "safetensors, sharded": _sharded,
        "whole module": _saved,
        "whole module, legacy": lambda n, at: _saved(n, at, legacy=True),
        "TorchScript, traced": lambda n, at: _script(torch.jit.trace(n, example), at),
        "TorchScript, scripted": lambda n, at: _script(torch.jit.script(n), at),
        "torch.export, one image": lambda n, at: _exported(n, at, example, any_batch=False),
        "torch.export, any batch": lambda n, at: _exported(n, at, example, any_batch=True),
        "ONNX, dynamo": lambda n, at: _onnx(n, at, example, dynamo=True),
        "ONNX, older exporter": lambda n, at: _onnx(n, at, example, dynamo=False),
    }
    if library == "timm":
        found["hub folder of timm"] = _hub_folder
    return found


def quietly(way: Callable[[nn.Module, Path], Path], network: nn.Module, folder: Path) -> Path:
    """Save without the exporters' warnings, and without changing the network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return way(deepcopy(network), folder)


def _saved(saved: Any, folder: Path, *, legacy: bool = False) -> Path:
    file = folder / "network.pth"
    torch.save(saved, file, _use_new_zipfile_serialization=not legacy)
    return file


def _half(network: nn.Module) -> State:
    return deepcopy(network).half().state_dict()


def _attack_result(network: nn.Module) -> dict[str, object]:
    """The keys that BackdoorBench writes."""
    return {
        "model_name": type(network).__name__.lower(),
        "num_classes": CLASSES,
        "model": network.state_dict(),
        "data_path": "../data",
        "img_size": [224, 224, 3],
        "clean_data": "imagenette",
        "bd_train": None,
        "bd_test": None,
    }


def _safetensors(network: nn.Module, folder: Path) -> Path:
    file = folder / "network.safetensors"
    safetensors.torch.save_model(network, str(file))
    return file


def _sharded(network: nn.Module, folder: Path) -> Path:
    state = network.state_dict()
    placed = {}
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
        names = list(state)[shard::SHARDS]
        safetensors.torch.save_file(
            {name: state[name].contiguous() for name in names}, folder / file
        )
        placed |= dict.fromkeys(names, file)
    index = {
        "metadata": {"total_size": sum(t.nbytes for t in state.values())},
        "weight_map": placed,
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    return folder


def _script(script: torch.jit.ScriptModule, folder: Path) -> Path:
    file = folder / "network.pt"
    torch.jit.save(script, str(file))
    return file


def _exported(network: nn.Module, folder: Path, example: Tensor, *, any_batch: bool) -> Path:
    file = folder / "network.pt2"
    free = torch.export.Dim("batch", min=1, max=64)
    inputs = example.expand(2, -1, -1, -1) if any_batch else example
    shapes = ({0: free},) if any_batch else None
    torch.export.save(torch.export.export(network, (inputs,), dynamic_shapes=shapes), file)
    return file


def _onnx(network: nn.Module, folder: Path, example: Tensor, *, dynamo: bool) -> Path:
    file = folder / "network.onnx"
    torch.onnx.export(network, (example,), file, dynamo=dynamo, verbose=False)
    return file


def _hub_folder(network: nn.Module, folder: Path) -> Path:
    timm().models.save_for_hf(network, folder, safe_serialization="both")
    return folder


def networks() -> Iterator[tuple[str, str]]:
    """Library and name of every network."""
    yield from (("torchvision", name) for name in TORCHVISION)
    yield from (("timm", name) for name in TIMM)
