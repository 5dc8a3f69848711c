"""Scaled dot-product attention, an operator since opset 23."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from backaudit.programs.onnx.step import Step
from backaudit.programs.onnx.values import Value, shape


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None
) -> Tensor:
    """Attention of heads; all (N, heads, tokens, features), ``mask`` added to the products."""
    return F.scaled_dot_product_attention(query, key, value, mask, scale=scale)


def _attention(step: Step) -> Value:
    step.only_first()
    step.only("is_causal", 0)
    step.only("softcap", 0.0)
    heads = [step.given(index) for index in range(3)]
    if any(len(shape(value)) != 4 for value in heads):
        raise step.refusal("its heads are not a dimension of their own")
    if any(value is not None for value in step.inputs[4:]):
        raise step.refusal("it goes on from earlier tokens")
    scale = step.attributes.get("scale")
    # Not `call`, which passes a lone number on: a mask must stay a tensor.
    mask = step.optional(3)
    nodes = [step.scene.node(value) for value in heads[1:]]
    masked = None if mask is None else step.scene.node(mask)
    return step.record(attend, heads[0], *nodes, masked, scale=scale)


ATTENTION: dict[str, Callable[[Step], Value]] = {"Attention": _attention}
