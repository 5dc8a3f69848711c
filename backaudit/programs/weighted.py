"""Operators with weights, and those that only mean something while a network is trained."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.programs import layers
from backaudit.programs.graph import Node, Recorder, examples, stored

Operator = Callable[..., Any]
aten = torch.ops.aten
TRAINING = "was traced or exported in training mode: call network.eval() and do it again"


CONVOLUTION = (
    *("input", "weight", "bias", "stride", "padding", "dilation"),
    *("transposed", "output_padding", "groups"),
)
FORWARD = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
BACKWARD = (
    *("input", "weight", "bias", "stride", "padding"),
    *("output_padding", "groups", "dilation"),
)
BATCH_NORM = (
    *("input", "weight", "bias", "running_mean", "running_var"),
    *("training", "momentum", "eps", "cudnn_enabled"),
)


def _by_name(names: Sequence[str], args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by the names that an operator's schema gives them; what follows is dropped."""
    return dict(zip(names, args, strict=False)) | kwargs


def _convolved(recorder: Recorder, given: dict[str, Any], *, transposed: bool) -> Node:
    x, weight = given.pop("input"), given.pop("weight")
    bias = given.pop("bias", None)
    return layers.convolution(recorder, x, weight, bias, **{"transposed": transposed} | given)


def _conv(recorder: Recorder, *args: Any, **kwargs: Any) -> Node:
    return _convolved(recorder, _by_name(FORWARD, args, kwargs), transposed=False)


def _conv_transpose(recorder: Recorder, *args: Any, **kwargs: Any) -> Node:
    return _convolved(recorder, _by_name(BACKWARD, args, kwargs), transposed=True)


def _convolution(recorder: Recorder, *args: Any, **kwargs: Any) -> Node:
    return _convolved(recorder, _by_name(CONVOLUTION, args, kwargs), transposed=False)


def _batch_norm(recorder: Recorder, *args: Any, **kwargs: Any) -> Node:
    given = _by_name(BATCH_NORM, args, kwargs)
    running = (given["running_mean"], given["running_var"])
    if given["training"] and running[0] is not None:
        raise CheckpointError(TRAINING)
    affine = (given["weight"], given["bias"])
    options = {"eps": given["eps"], "momentum": given["momentum"]}
    return layers.batch_norm(recorder, given["input"], affine, running, **options)


def _native_batch_norm(recorder: Recorder, *args: Any, **kwargs: Any) -> list[Any]:
    """``_native_batch_norm_legit_no_training``: five tensors, momentum, eps -> three results."""
    names = [name for name in BATCH_NORM if name != "training"]
    given = _by_name(names, args, kwargs)
    return [_batch_norm(recorder, training=False, **given), None, None]


def _layer_norm(recorder: Recorder, *args: Any, **kwargs: Any) -> Node:
    names = ("input", "normalized_shape", "weight", "bias", "eps")
    given = {"weight": None, "bias": None, "eps": 1e-5} | _by_name(names, args, kwargs)
    affine = (given["weight"], given["bias"])
    sizes = given["normalized_shape"]
    return layers.layer_norm(recorder, given["input"], sizes, affine, given["eps"])


def _native_layer_norm(recorder: Recorder, *args: Any, **kwargs: Any) -> list[Any]:
    return [_layer_norm(recorder, *args, **kwargs), None, None]


def _group_norm(recorder: Recorder, *args: Any, **kwargs: Any) -> Node:
    names = ("input", "num_groups", "weight", "bias", "eps")
    given = {"weight": None, "bias": None, "eps": 1e-5} | _by_name(names, args, kwargs)
    affine = (given["weight"], given["bias"])
    return layers.group_norm(recorder, given["input"], given["num_groups"], affine, given["eps"])


def _native_group_norm(recorder: Recorder, *args: Any, **kwargs: Any) -> list[Any]:
    names = ("input", "weight", "bias", "N", "C", "HxW", "num_groups", "eps")
    given = _by_name(names, args, kwargs)
    wanted = {name: given[name] for name in ("input", "num_groups", "weight", "bias", "eps")}
    return [_group_norm(recorder, **wanted), None, None]


def _softmax(recorder: Recorder, self: Node, dim: int, *_: Any, **__: Any) -> Node:
    return layers.softmax(recorder, self, dim)


def _log_softmax(recorder: Recorder, self: Node, dim: int, *_: Any, **__: Any) -> Node:
    return layers.log_softmax(recorder, self, dim)


def _dropout(_: Recorder, input: Node, p: float = 0.5, train: bool = False) -> Node:
    if train and p:
        raise CheckpointError(TRAINING)
    return input


def _addmm(
    recorder: Recorder,
    self: Node,
    mat1: Node,
    mat2: Node,
    *,
    beta: float = 1,
    alpha: float = 1,
) -> Any:
    weight = _transposed(mat2)
    if weight is not None and beta == alpha == 1 and len(examples(self)[0].shape) == 1:
        return layers.linear(recorder, mat1, weight, self)
    return recorder.call(aten.addmm, self, mat1, mat2, beta=beta, alpha=alpha)


def _matmul(recorder: Recorder, self: Node, other: Node) -> Any:
    weight = _transposed(other)
    if weight is not None:
        return layers.linear(recorder, self, weight)
    return recorder.call(aten.matmul, self, other)


def _transposed(node: Node) -> Node | None:
    """The stored matrix that a node is the transpose of; None if it is none."""
    name = str(getattr(node.target, "__name__", ""))
    swapping = {"t": ((),), "permute": (([1, 0],),), "transpose": ((0, 1), (1, 0), (-1, -2))}
    if name not in swapping or not isinstance(node.args[0], Node):
        return None
    source, settings = node.args[0], tuple(node.args[1:])
    held = stored(source)
    plain = tuple(list(each) if isinstance(each, Sequence) else each for each in settings)
    return source if held is not None and held.dim() == 2 and plain in swapping[name] else None


def _identity(_: Recorder, self: Any, *__: Any, **___: Any) -> Any:
    return self


def _copy(recorder: Recorder, self: Node, *_: Any, **__: Any) -> Any:
    return recorder.call(aten.clone, self)


def _linear(recorder: Recorder, input: Node, weight: Node, bias: Node | None = None) -> Node:
    return layers.linear(recorder, input, weight, bias)


def _relu(recorder: Recorder, self: Node) -> Node:
    return layers.relu(recorder, self)


def _dim(_: Recorder, self: Node) -> int:
    return int(examples(self)[0].dim())


def _stored_number(_: Recorder, self: Any) -> Any:
    held = stored(self)
    if not isinstance(held, Tensor) or held.numel() != 1:
        raise CheckpointError(
            "decides or computes sizes by what is in an image, which is not supported: "
            "save the state dict"
        )
    return held.item()


WEIGHTED: dict[str, Operator] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _conv_transpose),
    **dict.fromkeys(("_convolution", "convolution"), _convolution),
    "batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _native_batch_norm,
    "layer_norm": _layer_norm,
    "native_layer_norm": _native_layer_norm,
    "group_norm": _group_norm,
    "native_group_norm": _native_group_norm,
    "linear": _linear,
    "addmm": _addmm,
    **dict.fromkeys(("matmul", "mm"), _matmul),
    "relu": _relu,
    **dict.fromkeys(("softmax", "_softmax", "_safe_softmax"), _softmax),
    **dict.fromkeys(("log_softmax", "_log_softmax"), _log_softmax),
    **dict.fromkeys(
        ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"), _dropout
    ),
    **dict.fromkeys(("contiguous", "detach"), _identity),
    "clone": _copy,
    "dim": _dim,
    "item": _stored_number,
}
