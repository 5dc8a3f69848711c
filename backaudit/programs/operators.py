"""Operators of ``aten`` that a network may use, by name: all that a program can make happen.

None of them reads or writes anything but tensors, and none is ever found by a name from a file
that is not listed here.
"""

from collections.abc import Sequence
from typing import Any

import torch

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.programs import making, shapes
from backaudit.programs.attention import native_attention
from backaudit.programs.graph import CallError, MisfitError, Node, Recorder
from backaudit.programs.weighted import WEIGHTED, Operator

aten = torch.ops.aten

# Recorded as they are.
PLAIN = frozenset(
    (
        *("abs", "acos", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
        *("adaptive_max_pool1d", "adaptive_max_pool2d", "add", "addcdiv", "addcmul", "all", "amax"),
        *("amin", "any", "argmax", "argmin", "asin", "atan", "avg_pool1d", "avg_pool2d"),
        *(
            "avg_pool3d",
            "baddbmm",
            "bitwise_and",
            "bitwise_not",
            "bitwise_or",
            "bmm",
            "ceil",
        ),
        *("celu", "channel_shuffle", "chunk", "clamp", "clamp_max", "clamp_min", "constant_pad_nd"),
        *("cos", "cosine_similarity", "cumsum", "diagonal", "div", "einsum", "elu", "eq", "erf"),
        *("exp", "expm1", "flatten", "flip", "floor", "floor_divide", "fmod", "frobenius_norm"),
        *("gather", "ge", "gelu", "glu", "gt", "hardshrink", "hardsigmoid", "hardswish"),
        *("hardtanh", "index_select", "instance_norm", "isnan", "le", "leaky_relu"),
        *("linalg_vector_norm", "log", "log1p", "log2", "log_sigmoid"),
        *("logical_and", "logical_not", "logical_or", "logsumexp", "lt", "masked_fill"),
        *("max", "max_pool1d", "max_pool2d", "max_pool2d_with_indices", "max_pool3d"),
        *("maximum", "mean", "min", "minimum", "mish", "movedim", "mul", "narrow", "ne", "neg"),
        *("norm", "permute", "pixel_shuffle", "pixel_unshuffle", "pow", "prelu", "prod"),
        *("reciprocal", "reflection_pad1d", "reflection_pad2d", "relu6", "remainder"),
        *(
            "repeat",
            "repeat_interleave",
            "index",
            "pad",
            "replication_pad1d",
            "replication_pad2d",
            "roll",
            "round",
            "rsqrt",
        ),
        *("rsub", "scaled_dot_product_attention", "select", "selu", "sigmoid", "sign", "silu"),
        *("sin", "slice", "softplus", "softshrink", "split"),
        *("split_with_sizes", "sqrt", "square", "squeeze", "stack", "std", "sub", "sum"),
        *("swapaxes", "t", "tan", "tanh", "threshold", "topk", "transpose"),
        *("tril", "triu", "true_divide", "unbind", "unflatten", "unsqueeze", "upsample_bicubic2d"),
        *("upsample_bilinear2d", "upsample_nearest1d", "upsample_nearest2d"),
        *("upsample_trilinear3d", "var", "var_mean", "where"),
    )
)
RENAMED = {
    "_adaptive_avg_pool2d": "adaptive_avg_pool2d",
    "multiply": "mul",
    "divide": "div",
    "subtract": "sub",
    "greater": "gt",
    "less": "lt",
    "concat": "cat",
    "concatenate": "cat",
    "swapdims": "transpose",
    "view": "reshape",
    "_unsafe_view": "reshape",
    "view_copy": "reshape",
    "_reshape_alias": "reshape",
    "permute_copy": "permute",
    "unsqueeze_copy": "unsqueeze",
    "unsafe_chunk": "chunk",
    "unsafe_split": "split",
    "lift_fresh_copy": "clone",
    "lift_fresh": "clone",
    "alias": "clone",
    "detach_": "clone",
}


def apply(recorder: Recorder, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Record a call of an operator.

    Args:
        recorder: of the graph.
        name: without ``aten::``, such as ``conv2d``; one that ends in ``_`` changes its first
            argument.
        args: in the order of the operator's schema.
        kwargs: the others.

    Returns:
        A node, a constant, or a list of those.

    Raises:
        CheckpointError: for an operator that is not supported, or arguments that do not fit it.
    """
    function = find(name)
    if function is None:
        raise unsupported(f"aten::{name}")
    try:
        result = function(recorder, *args, **kwargs)
    except (CallError, TypeError) as error:
        raise MisfitError(
            f"holds a program that fails at aten::{printable(name)}: {error}"
        ) from error
    if _changes(name) and isinstance(result, Node) and isinstance(args[0], Node):
        recorder.replace(args[0], result)
    return result


def find(name: str) -> Operator | None:
    """What records an operator; None for an unsupported one."""
    if _changes(name):
        name = name.removesuffix("_")
    name = RENAMED.get(name, name)
    if name in SPECIAL:
        return SPECIAL[name]
    if name not in PLAIN:
        return None
    function = getattr(aten, name)
    return lambda recorder, *args, **kwargs: recorder.call(function, *args, **kwargs)


def unsupported(name: str) -> CheckpointError:
    """The refusal of an operator."""
    return CheckpointError(
        f"uses the operator {printable(name)}, which is not supported: save the state dict, "
        "torch.save(network.state_dict(), 'weights.pt')"
    )


def _changes(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__") and name not in RENAMED


SPECIAL: dict[str, Operator] = {
    **WEIGHTED,
    "reshape": shapes.reshape,
    "expand": shapes.expand,
    "expand_as": shapes.expand_as,
    **dict.fromkeys(("view_as", "reshape_as"), shapes.reshape_as),
    "cat": shapes.cat,
    **dict.fromkeys(("size", "sym_size"), shapes.size),
    **dict.fromkeys(("numel", "sym_numel"), shapes.numel),
    **dict.fromkeys(("to", "_to_copy", "type_as"), making.cast),
    **dict.fromkeys(("zeros", "empty"), making.zeros),
    "ones": making.ones,
    "full": making.full,
    "new_full": making.new_full,
    **dict.fromkeys(("new_zeros", "new_empty"), making.new_zeros),
    "new_ones": making.new_ones,
    "full_like": making.full_like,
    **dict.fromkeys(("zeros_like", "empty_like"), making.zeros_like),
    "ones_like": making.ones_like,
    "arange": making.arange,
    **dict.fromkeys(("scalar_tensor", "tensor"), making.scalar_tensor),
    "as_tensor": making.as_tensor,
    "_native_multi_head_attention": native_attention,
}
