"""The classifiers of torchvision, imported when first needed, for any number of classes."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from math import isqrt
from types import ModuleType
from typing import Any

import torch
from torch import nn

from backaudit.nets.architectures.candidate import Candidate, Shapes
from backaudit.nets.chains.filling import Filling
from backaudit.nets.chains.network import ChainNetwork
from backaudit.nets.chains.reading import Chain, read_chain
from backaudit.nets.library_index import indexed_names


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


@dataclass(frozen=True)
class Head:
    """The last layers of a network.

    Args:
        place: name of the module that they are.
        num_classes: outputs.
        chain: what was put in place of the usual linear layer, where that is a module of its own.
        plain: features that one linear layer takes which was put there; 0 if none was.
        bias: whether that layer has one.
    """

    place: str
    num_classes: int
    chain: Chain | None = None
    plain: int = 0
    bias: bool = True

    @property
    def takes(self) -> int:
        """Features that the layers take which were put there."""
        return self.chain.units[0].layer.inputs if self.chain else self.plain

    @property
    def assumption(self) -> str:
        """What shapes do not tell of the layers that were put there."""
        names = [
            f"{self.place}.{unit.layer.name}" for unit in (self.chain.units if self.chain else ())
        ]
        if len(names) > 1:
            return (
                f"The head {', '.join(names)} was taken as linear layers with ReLU between them, "
                "with at most dropout besides."
            )
        if not names and not self.plain:
            return ""
        name = names[0] if names else self.place
        return f"The head {name} was taken as one linear layer, with at most dropout before."


MOBILENET_V2 = Family(("mobilenet_v2",), "features.1.conv.0.0.weight", "classifier.1")
USUAL_STEM = 32
WIDTH_RATIOS = (0.1, 0.25, 0.35, 0.5, 0.75, 1.25, 1.3, 1.4, 1.5, 2.0)
FAMILIES = (
    Family(("alexnet", "vgg"), "features.0.bias", "classifier.6"),
    Family(("convnext",), "features.1.0.layer_scale", "classifier.2"),
    Family(("densenet",), "features.denseblock1.denselayer1.norm1.weight", "classifier"),
    Family(("efficientnet",), "features.1.0.block.0.0.weight", "classifier.1"),
    Family(("googlenet",), "inception3a.branch1.conv.weight", "fc"),
    Family(("inception",), "Mixed_5b.branch1x1.conv.weight", "fc"),
    Family(("maxvit",), "blocks.0.layers.0.layers.MBconv.layers.conv_a.0.weight", "classifier.5"),
    Family(("mnasnet",), "layers.8.0.layers.0.weight", "classifier.1"),
    MOBILENET_V2,
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
    indexed = set(indexed_names("torchvision", shapes)) & set(torchvision_names())
    for name in torchvision_names():
        if name in indexed or (not indexed and _family(name) in likely):
            yield torchvision_candidate(name, shapes)
    if MOBILENET_V2 in likely:
        yield from _narrower(shapes)


def _narrower(shapes: Shapes) -> Iterator[Candidate]:
    """Propose MobileNetV2 at the widths that its tensors could have; their ratio is no shape."""
    usual = torchvision_candidate("mobilenet_v2", shapes)
    if shapes.get("features.0.0.weight", (USUAL_STEM,))[0] == USUAL_STEM:
        return
    for ratio in WIDTH_RATIOS:
        name = f"mobilenet_v2(width_mult={ratio})"
        head = _head(MOBILENET_V2, shapes)
        build = partial(_build, "mobilenet_v2", head, dict(shapes), width_mult=ratio)
        yield replace(usual, name=name, build=build)


def torchvision_candidate(name: str, shapes: Shapes) -> Candidate:
    """Propose one network of torchvision, with classes and channels read from the shapes."""
    family = _family(name)
    head = _head(family, shapes) if family else None
    build = partial(_build, name, head, dict(shapes))
    return Candidate(name, build, _input_size(name, shapes), head.assumption if head else "")


def _family(name: str) -> Family | None:
    return next((family for family in FAMILIES if name.startswith(family.prefixes)), None)


def _head(family: Family, shapes: Shapes) -> Head | None:
    """The family's own head, or the linear layers that were put in its place."""
    own = f"{family.head}.weight"
    if own in shapes:
        return Head(family.head, shapes[own][0])
    for place in (family.head, family.head.split(".")[0]):
        start = f"{place}."
        inner = {n.removeprefix(start): shape for n, shape in shapes.items() if n.startswith(start)}
        if len(inner.get("weight", ())) == 2 and inner.keys() <= {"weight", "bias"}:
            return Head(place, inner["weight"][0], bias="bias" in inner, plain=inner["weight"][1])
        chain = read_chain(inner)
        if chain is not None and not chain.convs:
            return Head(place, chain.num_classes, chain)
    return None


def _input_size(name: str, shapes: Shapes) -> int:
    positions = shapes.get("encoder.pos_embedding", ())
    patches = shapes.get("conv_proj.weight", ())
    if len(positions) == 3 and len(patches) == 4:
        return isqrt(max(0, positions[1] - 1)) * patches[2]
    weights = torchvision_models().get_model_weights(name).DEFAULT
    size: int = weights.transforms().crop_size[0]
    return size


def _build(name: str, head: Head | None, shapes: Shapes, **options: Any) -> nn.Module:
    if head:
        options["num_classes"] = head.num_classes
    if name in ("googlenet", "inception_v3"):
        auxiliary = {"aux1.fc2.weight", "AuxLogits.fc.weight"}
        options |= {"aux_logits": bool(auxiliary & shapes.keys()), "init_weights": False}
    if name.startswith("vit"):
        options["image_size"] = _input_size(name, shapes)
    network: nn.Module = torchvision_models().get_model(name, weights=None, **options)
    if head and (head.chain or head.plain):
        _replace_head(network, head)
    _adapt_stem(network, shapes)
    return network


def _replace_head(network: nn.Module, head: Head) -> None:
    """Put the layers of the file in place of the head.

    Raises:
        ValueError: if they take another number of features than the network gives.
    """
    usual = network.get_submodule(head.place)
    gives = next(layer.in_features for layer in usual.modules() if isinstance(layer, nn.Linear))
    if head.takes != gives:
        raise ValueError(f"the head takes {head.takes} features and gets {gives}")
    replaced: nn.Module = nn.Linear(gives, head.num_classes, bias=head.bias)
    if head.chain:
        replaced = ChainNetwork(head.chain, Filling(gives, 1, same=True, reduced=()))
    network.set_submodule(head.place, replaced)


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
