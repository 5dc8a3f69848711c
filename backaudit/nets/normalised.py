"""A network as the detectors expect it: images in [0, 1] in, logits out."""

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

TOLERANCE = 1e-3


class Normalised(nn.Module):
    """A network behind its normalisation: images (N, C, H, W) in [0, 1] -> its answer.

    Args:
        network: takes normalised images.
        mean: per-channel mean in [0, 1] units, subtracted first.
        std: per-channel standard deviation in [0, 1] units, divided by second.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        # Not persistent, so that the state dict stays the suspect's own under a prefix.
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K) for images (N, C, H, W) in [0, 1]."""
        logits: Tensor = self.network((images - self.mean) / self.std)
        return logits


class LogProbabilities(nn.Module):
    """A network that answers with probabilities, turned into one that answers with their logarithm.

    Args:
        network: answers with probabilities (N, K).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Log-probabilities (N, K), which are logits, for images (N, C, H, W)."""
        return log_of(self.network(images))


def log_of(probabilities: Tensor) -> Tensor:
    """Logits (N, K) that have these probabilities (N, K)."""
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


@torch.no_grad()
def with_logits(network: nn.Module, inputs: Tensor) -> tuple[nn.Module, str | None]:
    """Undo a softmax at the end of a network, in place where it is a layer of its own.

    Args:
        network: in eval mode; answers with (N, K).
        inputs: (N, C, H, W), to see what it answers.

    Returns:
        The network that answers with logits, and what was undone in a sentence; None if nothing.
    """
    probabilities = network(inputs)
    if not are_probabilities(probabilities):
        return network, None
    name = _last_softmax(network, inputs)
    if name is not None:
        softmax = network.get_submodule(name)
        network.set_submodule(name, nn.Identity())
        if torch.allclose(network(inputs).softmax(1), probabilities, atol=TOLERANCE):
            return network, "The network ends in a softmax, which was left out."
        network.set_submodule(name, softmax)
    said = "The network answers with probabilities; their logarithm is used in place of logits."
    return LogProbabilities(network).eval(), said


def are_probabilities(outputs: Tensor) -> bool:
    """Whether every row of (N, K) is a distribution over classes."""
    off = (outputs.sum(1) - 1).abs().max()
    return bool((outputs >= 0).all() and off < TOLERANCE)


def _last_softmax(network: nn.Module, inputs: Tensor) -> str | None:
    """Name of the softmax layer that runs last on ``inputs``."""
    ran: list[str] = []
    with ExitStack() as stack:
        for name, module in network.named_modules():
            if name and isinstance(module, nn.Softmax):
                hook = module.register_forward_hook(lambda *_, name=name: ran.append(name))
                stack.callback(hook.remove)
        network(inputs)
    return ran[-1] if ran else None
