"""Several noisy copies of one network as one batch.

A batch of G groups stands for G copies of the network that share every weight but the affine
parameters of their normalisation layers. Convolutions see one large batch; normalisation layers
treat each group on its own. Nothing of the network is copied, replaced or changed.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode


def grouped_call(
    network: nn.Module,
    parameters: Mapping[str, Tensor],
    images: Tensor,
    groups: int,
    *,
    batch_statistics: bool = True,
) -> Tensor:
    """Run ``network`` with parameters of its own for each group of the batch.

    Args:
        network: images -> logits, in eval mode.
        parameters: name -> values (G, *shape) of affine parameters of normalisation layers.
        images: (G * B, C, H, W), group after group.
        groups: G.
        batch_statistics: whether batch-norm layers normalise each group by its own statistics, or
            by the stored ones.

    Returns:
        Logits (G * B, K).
    """
    with _PerGroup(groups, batch_statistics=batch_statistics):
        logits: Tensor = functional_call(network, dict(parameters), (images,))
    return logits


class _PerGroup(TorchFunctionMode):
    """Give normalisation functions per-group statistics and, where stacked, affine parameters."""

    def __init__(self, groups: int, *, batch_statistics: bool) -> None:
        super().__init__()
        self.groups = groups
        batch_norm = _own_statistics if batch_statistics else _stored_statistics
        self.replacements = {**_REPLACEMENTS, F.batch_norm: batch_norm}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        replacement = self.replacements.get(func)
        if replacement is None:
            return func(*args, **(kwargs or {}))
        return replacement(self.groups, *args, **(kwargs or {}))


def _own_statistics(  # noqa: PLR0913 - the signature of F.batch_norm
    groups: int,
    images: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each group by its own batch statistics; leave the stored ones alone."""
    del running_mean, running_var, training, momentum
    stacked = weight is not None and weight.dim() == 2
    parts = [
        F.batch_norm(
            part,
            None,
            None,
            weight[group] if stacked and weight is not None else weight,
            bias[group] if stacked and bias is not None else bias,
            training=True,
            eps=eps,
        )
        for group, part in enumerate(images.chunk(groups))
    ]
    return torch.cat(parts)


def _stored_statistics(  # noqa: PLR0913 - the signature of F.batch_norm
    groups: int,
    images: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise every group by the stored statistics."""
    if weight is None or weight.dim() == 1:
        return F.batch_norm(
            images, running_mean, running_var, weight, bias, training, momentum, eps
        )
    plain = F.batch_norm(images, running_mean, running_var, None, None, training, momentum, eps)
    return _affine(groups, plain, weight, bias, 1)


def _layer_norm(
    groups: int,
    images: Tensor,
    normalized_shape: list[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    if weight is None or weight.dim() == len(normalized_shape):
        return F.layer_norm(images, normalized_shape, weight, bias, eps)
    plain = F.layer_norm(images, normalized_shape, None, None, eps)
    return _affine(groups, plain, weight, bias, channel_axis=plain.dim() - len(normalized_shape))


def _group_norm(
    groups: int,
    images: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    if weight is None or weight.dim() == 1:
        return F.group_norm(images, num_groups, weight, bias, eps)
    return _affine(groups, F.group_norm(images, num_groups, None, None, eps), weight, bias, 1)


def _affine(
    groups: int, plain: Tensor, weight: Tensor, bias: Tensor | None, channel_axis: int
) -> Tensor:
    """Scale and shift (G * B, ...) by per-group values (G, C...) that start at ``channel_axis``."""
    split = plain.unflatten(0, (groups, -1))
    after = plain.dim() - channel_axis - (weight.dim() - 1)
    shape = (groups,) + (1,) * channel_axis + tuple(weight.shape[1:]) + (1,) * after
    scaled = split * weight.reshape(shape)
    shifted: Tensor = scaled if bias is None else scaled + bias.reshape(shape)
    return shifted.flatten(0, 1)


_REPLACEMENTS: dict[Callable[..., Any], Callable[..., Tensor]] = {
    F.layer_norm: _layer_norm,
    F.group_norm: _group_norm,
}
