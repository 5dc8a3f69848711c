"""Calls on stored weights, recorded as the layers that make them.

A call whose weights are no stored tensors is recorded as the function it is.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.programs.graph import MisfitError, Node, Recorder, examples, name_of, stored

aten = torch.ops.aten
CONVOLUTIONS = {
    (1, False): nn.Conv1d,
    (2, False): nn.Conv2d,
    (3, False): nn.Conv3d,
    (1, True): nn.ConvTranspose1d,
    (2, True): nn.ConvTranspose2d,
    (3, True): nn.ConvTranspose3d,
}
NORMS: dict[int, type[nn.Module]] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
    5: nn.BatchNorm3d,
}


def convolution(
    recorder: Recorder, x: Node, weight: Node, bias: Node | None, **options: Any
) -> Node:
    """Record a convolution.

    Args:
        recorder: of the graph.
        x: (N, C, ...).
        weight: (out, in / groups, ...), or (in, out / groups, ...) if transposed.
        bias: (out,) or None.
        options: ``stride``, ``padding``, ``dilation``, ``transposed``, ``output_padding``,
            ``groups``, as ``aten::convolution`` has them; ``padding`` may be "same" or "valid".
    """
    settings = _Convolution(examples(weight)[0].dim() - 2, options)
    kind = CONVOLUTIONS.get((settings.spatial, settings.transposed))
    plain = examples(x)[0].dim() == settings.spatial + 2
    if kind is None or not plain or not _kept(weight, bias):
        return settings.call(recorder, x, weight, bias)
    sizes = list(examples(weight)[0].shape)
    along = sizes[1] * settings.groups
    inputs, outputs = (sizes[0], along) if settings.transposed else (along, sizes[0])
    extra = {"output_padding": settings.output_padding} if settings.transposed else {}
    with torch.device("meta"):
        layer: nn.Module = kind(
            inputs,
            outputs,
            tuple(sizes[2:]),
            stride=settings.stride,
            padding=settings.padding,
            dilation=settings.dilation,
            groups=settings.groups,
            bias=bias is not None,
            **extra,
        )
    return _filled(recorder, layer, x, {"weight": weight, "bias": bias})


class _Convolution:
    """Settings of a convolution, spelled out."""

    def __init__(self, spatial: int, options: dict[str, Any]) -> None:
        self.spatial = spatial
        padding = options.get("padding", 0)
        self.padding = padding if isinstance(padding, str) else self._each(padding)
        self.stride = self._each(options.get("stride", 1))
        self.dilation = self._each(options.get("dilation", 1))
        self.output_padding = self._each(options.get("output_padding", 0))
        self.transposed = bool(options.get("transposed", False))
        self.groups = int(options.get("groups", 1))

    def _each(self, given: int | Sequence[int]) -> tuple[int, ...]:
        sizes = (given,) if isinstance(given, int) else tuple(given)
        if not all(isinstance(size, int) for size in sizes):
            raise MisfitError("has a convolution whose settings depend on the image")
        return sizes * self.spatial if len(sizes) == 1 else sizes

    def call(self, recorder: Recorder, x: Node, weight: Node, bias: Node | None) -> Node:
        if isinstance(self.padding, str):
            function = {1: aten.conv1d, 2: aten.conv2d, 3: aten.conv3d}[self.spatial]
            args: tuple[Any, ...] = (self.stride, self.padding, self.dilation, self.groups)
        else:
            function = aten.convolution
            args = (self.stride, self.padding, self.dilation, self.transposed)
            args = (*args, self.output_padding, self.groups)
        node: Node = recorder.call(function, x, weight, bias, *args)
        return node


def linear(recorder: Recorder, x: Node, weight: Node, bias: Node | None = None) -> Node:
    """Record a linear map of the last dimension; ``weight`` (out, in), ``bias`` (out,)."""
    if not _kept(weight, bias) or examples(weight)[0].dim() != 2:
        node: Node = recorder.call(aten.linear, x, weight, bias)
        return node
    outputs, inputs = examples(weight)[0].shape
    with torch.device("meta"):
        layer = nn.Linear(inputs, outputs, bias=bias is not None)
    return _filled(recorder, layer, x, {"weight": weight, "bias": bias})


def batch_norm(
    recorder: Recorder,
    x: Node,
    affine: tuple[Node | None, Node | None],
    running: tuple[Node | None, Node | None],
    eps: float,
    momentum: float = 0.1,
) -> Node:
    """Record batch normalisation by stored statistics.

    Args:
        recorder: of the graph.
        x: (N, C, ...).
        affine: gamma and beta, (C,) each, or None.
        running: mean and variance, (C,) each, or None: those of the batch itself.
        eps: added to the variance.
        momentum: of the statistics.
    """
    tensors = {"weight": affine[0], "bias": affine[1]}
    statistics = {"running_mean": running[0], "running_var": running[1]}
    tracked = None not in running
    dims = examples(x)[0].dim()
    pairs = (None in affine) == (affine == (None, None)) and tracked == (running[0] is not None)
    if not pairs or dims not in NORMS or not _kept(*affine, *running):
        args = (*affine, *running, not tracked, momentum, eps, False)
        node: Node = recorder.call(aten.batch_norm, x, *args)
        return node
    features = examples(x)[0].shape[1]
    with torch.device("meta"):
        layer = NORMS[dims](
            features,
            eps=eps,
            momentum=momentum,
            affine=affine[0] is not None,
            track_running_stats=tracked,
        )
    if tracked:
        layer.num_batches_tracked = torch.tensor(0)
    return _filled(recorder, layer, x, tensors | statistics)


def layer_norm(
    recorder: Recorder, x: Node, sizes: Sequence[int], affine: tuple[Any, Any], eps: float
) -> Node:
    """Record layer normalisation over the last dimensions, of ``sizes``; ``affine`` or None."""
    weight, bias = affine
    if not _kept(weight, bias) or (weight is None and bias is not None):
        node: Node = recorder.call(aten.layer_norm, x, list(sizes), weight, bias, eps)
        return node
    with torch.device("meta"):
        layer = nn.LayerNorm(
            list(sizes), eps, elementwise_affine=weight is not None, bias=bias is not None
        )
    return _filled(recorder, layer, x, {"weight": weight, "bias": bias})


def group_norm(
    recorder: Recorder, x: Node, groups: int, affine: tuple[Any, Any], eps: float
) -> Node:
    """Record group normalisation; ``affine``: gamma and beta, (C,) each, or None."""
    weight, bias = affine
    if not _kept(weight, bias) or (weight is None) != (bias is None):
        node: Node = recorder.call(aten.group_norm, x, groups, weight, bias, eps)
        return node
    with torch.device("meta"):
        layer = nn.GroupNorm(groups, examples(x)[0].shape[1], eps, affine=weight is not None)
    return _filled(recorder, layer, x, {"weight": weight, "bias": bias})


def relu(recorder: Recorder, x: Node) -> Node:
    """Record a rectifier."""
    return recorder.layer("relu", nn.ReLU(), x, shaped=True)


def softmax(recorder: Recorder, x: Node, dim: int) -> Node:
    """Record a softmax over ``dim``."""
    return recorder.layer("softmax", nn.Softmax(dim), x, shaped=True)


def log_softmax(recorder: Recorder, x: Node, dim: int) -> Node:
    """Record the logarithm of a softmax over ``dim``."""
    return recorder.layer("log_softmax", nn.LogSoftmax(dim), x, shaped=True)


def _kept(*tensors: Node | None) -> bool:
    found = [stored(tensor) for tensor in tensors if tensor is not None]
    return all(tensor is not None and tensor.is_floating_point() for tensor in found)


def _filled(recorder: Recorder, layer: nn.Module, x: Node, tensors: dict[str, Node | None]) -> Node:
    """Record a layer that holds stored tensors themselves, under the name that they share."""
    named = {name: node for name, node in tensors.items() if node is not None}
    for name, node in named.items():
        tensor = stored(node)
        if tensor is None or examples(node)[0].shape != getattr(layer, name).shape:
            raise CheckpointError("has a layer whose weights are of the wrong shape")
        setattr(layer, name, _as_held(tensor, parameter=not name.startswith("running")))
    name = _shared_name([name_of(node) for node in named.values()], type(layer).__name__.lower())
    shaped = isinstance(layer, (*NORMS.values(), nn.LayerNorm, nn.GroupNorm))
    if shaped:
        _check_features(layer, x)
    return recorder.layer(name, layer, x, shaped=shaped)


def _check_features(layer: nn.Module, x: Node) -> None:
    """Normalisation's settings are its own: the shape of what it is given must agree."""
    sizes = tuple(examples(x)[0].shape)
    if isinstance(layer, nn.LayerNorm):
        fits = sizes[-len(layer.normalized_shape) :] == layer.normalized_shape
    else:
        features = getattr(layer, "num_features", getattr(layer, "num_channels", None))
        fits = len(sizes) > 1 and sizes[1] == features
    if not fits:
        raise MisfitError("has a normalisation layer whose weights are of the wrong shape")


def _as_held(tensor: Tensor, *, parameter: bool) -> Tensor:
    if parameter:
        return tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor)
    return tensor.detach()


def _shared_name(names: list[str], fallback: str) -> str:
    first = names[0] if names else ""
    stem, _, last = first.rpartition(".")
    if last == "weight" and stem:
        return stem
    if last.endswith("_weight"):
        return f"{stem}.{last.removesuffix('_weight')}".lstrip(".")
    return fallback
