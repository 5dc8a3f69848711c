"""The classifiers of torchvision, imported when first needed, for any number of classes."""

import sys
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from math import isqrt
from types import ModuleType
from typing import Any

import torch
from torch import nn

from backaudit.nets.architectures.candidate import Candidate, Shapes


@dataclass(frozen=True)
class Family:
    """Networks of torchvision that share their key names.

    Args:
        prefixes: beginnings of their names.
        marker: a tensor that each of them has.
        head: the last linear layer, or convolution.
    """

    prefixes: tuple[str, ...]
    marker: str
    head: str


FAMILIES = (
    Family(("alexnet", "vgg"), "features.0.bias", "classifier.6"),
    Family(("convnext",), "features.1.0.layer_scale", "classifier.2"),
    Family(("densenet",), "features.denseblock1.denselayer1.norm1.weight", "classifier"),
    Family(("efficientnet",), "features.1.0.block.0.0.weight", "classifier.1"),
    Family(("googlenet",), "inception3a.branch1.conv.weight", "fc"),
    Family(("inception",), "Mixed_5b.branch1x1.conv.weight", "fc"),
    Family(("maxvit",), "blocks.0.layers.0.layers.MBconv.layers.conv_a.0.weight", "classifier.5"),
    Family(("mnasnet",), "layers.8.0.layers.0.weight", "classifier.1"),
    Family(("mobilenet_v2",), "features.1.conv.0.0.weight", "classifier.1"),
    Family(("mobilenet_v3",), "features.1.block.0.0.weight", "classifier.3"),
    Family(("regnet",), "trunk_output.block1.block1-0.proj.0.weight", "fc"),
    Family(("resnet", "resnext", "wide_resnet"), "layer1.0.conv1.weight", "fc"),
    Family(("shufflenet",), "stage2.0.branch1.0.weight", "fc"),
    Family(("squeezenet",), "features.3.squeeze.weight", "classifier.1"),
    Family(("swin",), "features.1.0.attn.qkv.weight", "head"),
    Family(("vit",), "encoder.layers.encoder_layer_0.ln_1.weight", "heads.head"),
)
UNCOMPILED = ("nms", "qnms")

# A library's operators exist as long as the object that declared them.
_declared: list[torch.library.Library] = []


@cache
def torchvision_models() -> ModuleType:
    """Import ``torchvision.models``, also where its compiled operators do not fit this torch."""
    try:
        import torchvision.models as models
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in UNCOMPILED:
            schema = f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor"
            library.define(schema)
        _declared.append(library)
        import torchvision.models as models
    imported: ModuleType = models
    return imported


@cache
def torchvision_names() -> tuple[str, ...]:
    """Names of torchvision's classifiers."""
    models = torchvision_models()
    return tuple(models.list_models(module=models))


def torchvision_candidates(shapes: Shapes) -> Iterator[Candidate]:
    """Propose the networks of torchvision whose family has tensors of such names."""
    likely = [family for family in FAMILIES if family.marker in shapes and _head(family, shapes)]
    if not likely:
        return
    for name in torchvision_names():
        if _family(name) in likely:
            yield torchvision_candidate(name, shapes)


def torchvision_candidate(name: str, shapes: Shapes) -> Candidate:
    """Propose one network of torchvision, with classes and channels read from the shapes."""
    family = _family(name)
    head = _head(family, shapes) if family else None
    build = partial(_build, name, family, head, dict(shapes))
    assumption = ""
    if family and head and head != family.head:
        assumption = f"The head {head} was taken as one linear layer, with at most dropout before."
    return Candidate(name, build, _input_size(name, shapes), assumption)


def _family(name: str) -> Family | None:
    return next((family for family in FAMILIES if name.startswith(family.prefixes)), None)


def _head(family: Family, shapes: Shapes) -> str | None:
    """The head's layer: the family's own, or the only one of a sequence put in its place."""
    if f"{family.head}.weight" in shapes:
        return family.head
    for place in (family.head, family.head.split(".")[0]):
        layers = {
            name.removesuffix(".weight").removesuffix(".bias")
            for name in shapes
            if name.startswith(f"{place}.")
        }
        layer = layers.pop() if len(layers) == 1 else ""
        inner = layer.removeprefix(place).removeprefix(".")
        if len(shapes.get(f"{layer}.weight", ())) == 2 and (not inner or inner.isdigit()):
            return layer
    return None


def _input_size(name: str, shapes: Shapes) -> int:
    positions = shapes.get("encoder.pos_embedding", ())
    patches = shapes.get("conv_proj.weight", ())
    if len(positions) == 3 and len(patches) == 4:
        return isqrt(max(0, positions[1] - 1)) * patches[2]
    weights = torchvision_models().get_model_weights(name).DEFAULT
    size: int = weights.transforms().crop_size[0]
    return size


def _build(name: str, family: Family | None, head: str | None, shapes: Shapes) -> nn.Module:
    options: dict[str, Any] = {}
    if head:
        options["num_classes"] = shapes[f"{head}.weight"][0]
    if name in ("googlenet", "inception_v3"):
        auxiliary = {"aux1.fc2.weight", "AuxLogits.fc.weight"}
        options |= {"aux_logits": bool(auxiliary & shapes.keys()), "init_weights": False}
    if name.startswith("vit"):
        options["image_size"] = _input_size(name, shapes)
    network: nn.Module = torchvision_models().get_model(name, weights=None, **options)
    if family and head and head != family.head:
        _replace_head(network, family.head, head, shapes)
    _adapt_stem(network, shapes)
    return network


def _replace_head(network: nn.Module, usual: str, head: str, shapes: Shapes) -> None:
    classes, features = shapes[f"{head}.weight"]
    linear: nn.Module = nn.Linear(features, classes, bias=f"{head}.bias" in shapes)
    place = usual if head.startswith(f"{usual}.") else usual.split(".")[0]
    inner = head.removeprefix(place).removeprefix(".")
    network.set_submodule(place, nn.Sequential(OrderedDict({inner: linear})) if inner else linear)


def _adapt_stem(network: nn.Module, shapes: Shapes) -> None:
    """Give the first convolution as many input channels as its tensor has."""
    layers = network.named_modules()
    name, stem = next((name, layer) for name, layer in layers if isinstance(layer, nn.Conv2d))
    shape = shapes.get(f"{name}.weight", ())
    if len(shape) != 4 or shape[1] in (0, stem.in_channels) or stem.groups != 1:
        return
    adapted = nn.Conv2d(
        shape[1],
        stem.out_channels,
        kernel_size=(stem.kernel_size[0], stem.kernel_size[1]),
        stride=(stem.stride[0], stem.stride[1]),
        padding=stem.padding,  # type: ignore[arg-type]
        bias=stem.bias is not None,
    )
    network.set_submodule(name, adapted)
