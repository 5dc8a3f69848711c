"""Proof that a method left the suspect alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from backaudit.core.errors import SuspectModifiedError


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Check weights, buffers, modes, hooks and gradient flags after the block, also if it raises.

    Raises:
        SuspectModifiedError: names the first thing that differs.
    """
    before = _fingerprint(network)
    copies = {name: tensor.detach().clone() for name, tensor in _tensors(network).items()}
    try:
        yield
    finally:
        after = _fingerprint(network)
        changed = [
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        ]
        tensors = _tensors(network)
        changed += [name for name, kept in copies.items() if not _same(tensors.get(name), kept)]
        if changed:
            raise SuspectModifiedError(
                f"the audit changed {min(changed)!r} of the suspect; nothing measured after it "
                "can be believed. Please report this as a bug."
            )


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, those that are not part of the state dict included."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def _same(now: Tensor | None, kept: Tensor) -> bool:
    if now is None or now.shape != kept.shape or now.dtype != kept.dtype:
        return False
    return torch.allclose(now, kept, rtol=0, atol=0, equal_nan=True)


def _fingerprint(network: nn.Module) -> dict[str, tuple[object, ...]]:
    modes: dict[str, tuple[object, ...]] = {
        f"module {name or '(root)'}": (
            module.training,
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
            len(module._backward_hooks),
            len(module._backward_pre_hooks),
            "forward" in module.__dict__,
        )
        for name, module in network.named_modules()
    }
    flags: dict[str, tuple[object, ...]] = {
        f"parameter {name}": (parameter.requires_grad, parameter.grad is None)
        for name, parameter in network.named_parameters()
    }
    return modes | flags
