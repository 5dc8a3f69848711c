"""Fused attention, which has no gradient, recorded as the operators that it fuses."""

from typing import Any

import torch

from backaudit.core.errors import CheckpointError
from backaudit.programs import layers
from backaudit.programs.graph import Node, Recorder, shape

aten = torch.ops.aten
NAMES = (
    *("query", "key", "value", "embed_dim", "num_head", "qkv_weight", "qkv_bias"),
    *("proj_weight", "proj_bias", "mask", "need_weights"),
)


def native_attention(recorder: Recorder, *args: Any, **kwargs: Any) -> list[Any]:
    """Record ``_native_multi_head_attention`` of one sequence with itself.

    Returns:
        What it gives, (N, length, features), and None for its weights.

    Raises:
        CheckpointError: for a mask, or attention of one sequence to another.
    """
    given = dict(zip(NAMES, args, strict=False)) | kwargs
    x: Node = given["query"]
    alone = given["key"] is x and given["value"] is x and given.get("mask") is None
    if not alone or given.get("need_weights", True) or len(shape(x)) != 3:
        raise CheckpointError(
            "uses fused attention with a mask or of two sequences: save the state dict"
        )
    heads, width = given["num_head"], given["embed_dim"]
    parts = layers.linear(recorder, x, given["qkv_weight"], given["qkv_bias"])
    parts = recorder.call(aten.unflatten, parts, -1, [3, heads, width // heads])
    parts = recorder.call(aten.permute, parts, [2, 0, 3, 1, 4])
    query, key, value = (recorder.call(aten.select, parts, 0, index) for index in range(3))
    mixed = recorder.call(aten.scaled_dot_product_attention, query, key, value)
    joined = recorder.call(aten.flatten, recorder.call(aten.transpose, mixed, 1, 2), 2)
    return [layers.linear(recorder, joined, given["proj_weight"], given["proj_bias"]), None]
