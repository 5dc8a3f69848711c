"""Image classifiers as the transformers library saves them: ViT, DeiT and ResNet, under its names.

The networks are those of torchvision; only the names of the tensors differ, and in ViTs queries,
keys and values are one matrix.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import isqrt

import torch
from torch import nn

from backaudit.nets.architectures import candidates
from backaudit.nets.architectures.candidate import Candidate, Shapes, State, count
from backaudit.nets.torchvision_models import torchvision_candidates, torchvision_models

SUPPORTED = ("deit", "resnet", "vit")
HEAD_WIDTH = 64
EPSILON = 1e-12
RESNET = (
    (r"resnet\.embedder\.embedder\.convolution", "conv1"),
    (r"resnet\.embedder\.embedder\.normalization", "bn1"),
    (r"resnet\.encoder\.stages\.(\d+)\.layers\.(\d+)", r"layer\1+.\2"),
    (r"shortcut\.convolution", "downsample.0"),
    (r"shortcut\.normalization", "downsample.1"),
    (r"layer\.(\d+)\.convolution", r"conv\1+"),
    (r"layer\.(\d+)\.normalization", r"bn\1+"),
    (r"classifier\.1", "fc"),
)
VIT = (
    (r"embeddings\.cls_token", "class_token"),
    (r"embeddings\.position_embeddings", "encoder.pos_embedding"),
    (r"embeddings\.patch_embeddings\.projection", "conv_proj"),
    (r"encoder\.layer\.(\d+)", r"encoder.layers.encoder_layer_\1"),
    (r"layernorm_before", "ln_1"),
    (r"layernorm_after", "ln_2"),
    (r"attention\.output\.dense", "self_attention.out_proj"),
    (r"attention\.attention\.query", "self_attention.in_proj_0"),
    (r"attention\.attention\.key", "self_attention.in_proj_1"),
    (r"attention\.attention\.value", "self_attention.in_proj_2"),
    (r"intermediate\.dense", "mlp.0"),
    (r"output\.dense", "mlp.3"),
    (r"^layernorm", "encoder.ln"),
    (r"^classifier", "heads.head"),
)
PART = re.compile(r"(.*in_proj)_0\.(weight|bias)")


@dataclass(frozen=True)
class _VisionPlan:
    """The numbers that make a ViT."""

    image_size: int
    patch_size: int
    num_layers: int
    num_heads: int
    hidden_dim: int
    mlp_dim: int
    num_classes: int
    in_channels: int
    epsilon: float
    tokens: int


def transformers_candidates(shapes: Shapes, config: Mapping[str, object]) -> Iterator[Candidate]:
    """Propose the networks that tensors with transformers' names could belong to.

    Args:
        shapes: of the tensors.
        config: of the folder; numbers that shapes do not tell are read from it.
    """
    if "resnet.embedder.embedder.convolution.weight" in shapes:
        yield from _resnets(shapes)
    for start in ("vit.", "deit.", ""):
        if f"{start}embeddings.cls_token" in shapes and "classifier.weight" in shapes:
            yield from _vits(shapes, start, config)
            return


def _resnets(shapes: Shapes) -> Iterator[Candidate]:
    renamed = {_translated(name, RESNET): shape for name, shape in shapes.items()}
    for candidate in (*torchvision_candidates(renamed), *candidates(renamed)):
        yield replace(candidate, renamed=partial(_renamed, _resnet_name))


def _resnet_name(name: str) -> str:
    return _translated(name, RESNET)


def _renamed(translate: Callable[[str], str], state: State) -> State:
    return {translate(name): tensor for name, tensor in state.items()}


def _translated(name: str, table: tuple[tuple[str, str], ...]) -> str:
    """A name with every pattern replaced; ``+`` after a number adds one to it."""
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"(\d+)\+", lambda found: str(int(found[1]) + 1), name)


def _vits(shapes: Shapes, start: str, config: Mapping[str, object]) -> Iterator[Candidate]:
    plan = _vision_plan(shapes, start, config)
    if plan is None:
        return
    name = f"vit(layers={plan.num_layers}, width={plan.hidden_dim}, patch={plan.patch_size})"
    assumption = ""
    if not isinstance(config.get("num_attention_heads"), int):
        assumption = f"The attention was taken to have {plan.num_heads} heads, 64 channels each."
    yield Candidate(
        name,
        partial(_vit, plan),
        plan.image_size,
        assumption,
        renamed=partial(_vit_state, start),
    )


def _vision_plan(shapes: Shapes, start: str, config: Mapping[str, object]) -> _VisionPlan | None:
    patches = shapes.get(f"{start}embeddings.patch_embeddings.projection.weight", ())
    positions = shapes.get(f"{start}embeddings.position_embeddings", ())
    inner = shapes.get(f"{start}encoder.layer.0.intermediate.dense.weight", ())
    usual = config.get("hidden_act", "gelu") == "gelu"
    if len(patches) != 4 or len(positions) != 3 or len(inner) != 2 or not usual:
        return None
    heads, epsilon = config.get("num_attention_heads"), config.get("layer_norm_eps")
    tokens = 1 + (f"{start}embeddings.distillation_token" in shapes)
    return _VisionPlan(
        image_size=isqrt(max(0, positions[1] - tokens)) * patches[2],
        patch_size=patches[2],
        num_layers=count(shapes, f"{start}encoder.layer.{{}}.intermediate.dense.weight"),
        num_heads=heads if isinstance(heads, int) and heads else max(1, patches[0] // HEAD_WIDTH),
        hidden_dim=patches[0],
        mlp_dim=inner[0],
        num_classes=shapes["classifier.weight"][0],
        in_channels=patches[1],
        epsilon=epsilon if isinstance(epsilon, float) else EPSILON,
        tokens=tokens,
    )


def _vit(plan: _VisionPlan) -> nn.Module:
    network: nn.Module = torchvision_models().VisionTransformer(
        image_size=plan.image_size,
        patch_size=plan.patch_size,
        num_layers=plan.num_layers,
        num_heads=plan.num_heads,
        hidden_dim=plan.hidden_dim,
        mlp_dim=plan.mlp_dim,
        num_classes=plan.num_classes,
        norm_layer=partial(nn.LayerNorm, eps=plan.epsilon),
    )
    if plan.tokens > 1:
        # The network reads the first token alone, and attends to as many as there are.
        positions = network.get_parameter("encoder.pos_embedding")
        longer = torch.empty(1, positions.shape[1] + plan.tokens - 1, plan.hidden_dim)
        network.get_submodule("encoder").pos_embedding = nn.Parameter(longer)
        network.class_token = nn.Parameter(torch.empty(1, plan.tokens, plan.hidden_dim))
    if plan.in_channels != 3:
        patch = (plan.patch_size, plan.patch_size)
        network.conv_proj = nn.Conv2d(plan.in_channels, plan.hidden_dim, patch, patch)
    return network


def _vit_state(start: str, state: State) -> State:
    named = {_translated(name.removeprefix(start), VIT): tensor for name, tensor in state.items()}
    joined = {}
    if "embeddings.distillation_token" in named:
        both = named["class_token"], named.pop("embeddings.distillation_token")
        named["class_token"] = torch.cat(both, dim=1)
    for name, tensor in named.items():
        found = PART.fullmatch(name)
        if found is None:
            joined[name] = tensor
            continue
        parts = [named.get(f"{found[1]}_{index}.{found[2]}") for index in range(3)]
        present = [part for part in parts if part is not None]
        joined[f"{found[1]}_{found[2]}"] = torch.cat(present)
    return {n: t for n, t in joined.items() if not re.search(r"in_proj_[12]\.", n)}
