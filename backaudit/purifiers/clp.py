"""CLP: prune the channels that can change most for a small change of their input."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Rule
from backaudit.nets.layers import batch_norms, execution_order, linear_maps
from backaudit.nets.pairing import Origins, origins_of_batch_norms
from backaudit.nets.stages import Stages
from backaudit.nets.watching import accuracy_on
from backaudit.purifiers.interface import Measurements, Parts
from backaudit.purifiers.pruning import LARGEST_DROP, prune_while_accurate

MILDEST = 10.0
"""Standard deviations that rising thresholds begin at: hardly a channel lies so far out."""


@dataclass(frozen=True)
class CLP:
    """Channel Lipschitzness-based Pruning.

    A trigger is small, and must change a few channels a lot. For every channel an upper bound of
    its Lipschitz constant is computed from the weights alone: the spectral norm of its filter times
    what batch norm multiplies it by. Channels whose bound lies far above the mean of their layer
    are silenced: weight and bias of their batch norm become zero.

    Score: of a channel, by how many standard deviations of its layer its bound lies above the mean;
        pruned at ``deviations`` or more.
    Needs: batch-norm layers that read convolutions or linear layers; no image. Without any batch
        norm the bound is the spectral norm of the layer's own filter, as if batch norm were folded
        in, and the layer's weights and bias become zero; the last layer is left alone. Other
        normalisation has no bound that holds for all images, and is not looked at.
    Blind to: backdoors that use many channels a little; layers with few channels, since of n values
        none lies more than (n - 1) / sqrt(n) standard deviations above their mean: at 3, layers of
        ten channels or fewer are never pruned.
    Differs from the official code: a batch norm belongs to the layers whose outputs it reads, which
        a trace finds, and not to the convolution registered before it, so that pre-activation
        networks are pruned rightly; a channel that reads a sum has the root of the sum of the
        squared norms, the bound for all inputs of the sum together; batch norm's epsilon counts, so
        that a dead channel has no infinite bound; fewer channels are pruned where the published
        number costs more held-out clean accuracy than ``largest_drop``.
    Paper: Zheng et al., Data-free Backdoor Removal based on Channel Lipschitzness, ECCV 2022,
        https://arxiv.org/abs/2208.03111.

    Args:
        deviations: above the mean of its layer from which a channel is pruned (u); above 0.
        step: of the deviations that are tried down to that number, from ten on; above 0.
        largest_drop: of held-out clean accuracy, in [0, 1]; 1 prunes at ``deviations`` in any case.
    """

    rule: ClassVar[Rule] = Rule(
        "BA407",
        "clp",
        "Does pruning the channels that a small change of the image changes most repair it?",
    )

    deviations: float = 3.0
    step: float = 0.5
    largest_drop: float = LARGEST_DROP

    def __post_init__(self) -> None:
        """Refuse deviations that would prune whole layers, and a step that leads nowhere."""
        if self.deviations <= 0 or self.step <= 0:
            raise ValueError("deviations and step must be above 0")

    @property
    def fewest_images(self) -> int:
        """None: the bounds come from the weights."""
        return 0

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        """Prune in place, as many channels as held-out accuracy allows.

        Raises:
            NotApplicableError: if the network has neither a batch norm that reads a linear map nor
                a linear map besides the last.
        """
        bounds = channel_bounds(network, parts.validation.images[:1])
        outlying = {name: outlyingness(bound) for name, bound in bounds.items()}
        scores: dict[str, Tensor] = {}
        for name, deviations in outlying.items():
            for parameter, value in network.get_submodule(name).named_parameters(recurse=False):
                # The lowest scores are pruned first.
                shape = (-1,) + (1,) * (value.dim() - 1)
                scores[f"{name}.{parameter}"] = -deviations.view(shape)
        pruning = prune_while_accurate(
            network,
            scores,
            self._thresholds(),
            partial(accuracy_on, network, parts.validation),
            self.largest_drop,
        )
        reached = None if pruning.threshold is None else -pruning.threshold
        return {
            **pruning.measurements(),
            "threshold": reached,
            "threshold_that_cost_too_much": None
            if pruning.stopped_at is None
            else -pruning.stopped_at,
            "layers": len(bounds),
            "largest_deviation": max(float(each.max()) for each in outlying.values()),
        }

    def _thresholds(self) -> list[float]:
        milder = max(0, int((MILDEST - self.deviations) / self.step))
        return [-(self.deviations + self.step * level) for level in range(milder, -1, -1)]


@torch.no_grad()
def channel_bounds(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Upper bounds (C,) of the Lipschitz constants of channels, by layer.

    Args:
        network: images -> logits, in eval mode.
        images: (1, C, H, W), any; only to see what reads what.

    Returns:
        For batch norms with weights whose channels all come from linear maps; in a network without
        batch norm, for all linear maps that run but the last.

    Raises:
        NotApplicableError: if there is none.
    """
    norms = batch_norms(network)
    if norms:
        bounds = _through_norms(network, images)
    else:
        layers = list(execution_order(network, linear_maps(network), images).items())[:-1]
        bounds = {name: _spectral_norms(layer) for name, layer in layers}
    if not bounds:
        raise NotApplicableError(
            "no batch norm reads a convolution or a linear layer."
            if norms
            else "the network has no batch norm, and no more than one convolution or linear layer."
        )
    return bounds


def outlyingness(bounds: Tensor) -> Tensor:
    """By how many standard deviations each bound (C,) lies above their mean; 0 if all are equal."""
    if len(bounds) < 2:
        return torch.zeros_like(bounds)
    return (bounds - bounds.mean()) / bounds.std().clamp_min(torch.finfo(bounds.dtype).tiny)


def _through_norms(network: nn.Module, images: Tensor) -> dict[str, Tensor]:
    origins = origins_of_batch_norms(network, images)
    read = {layer for channels in origins.values() for each in channels for layer, _ in each}
    squares = {
        name: _spectral_norms(network.get_submodule(name)).square().tolist() for name in read
    }
    bounds = {}
    for name, channels in origins.items():
        norm = network.get_submodule(name)
        if isinstance(norm, _BatchNorm) and norm.weight is not None and all(channels):
            bounds[name] = _gain(norm) * _norms(channels, squares).to(norm.weight.device)
    return bounds


def _norms(channels: tuple[Origins, ...], squares: Mapping[str, list[float]]) -> Tensor:
    """Spectral norms (C,) of what each channel reads, all its filters taken together."""
    sums = [sum(squares[layer][channel] for layer, channel in origins) for origins in channels]
    return torch.tensor(sums, dtype=torch.float64).sqrt().float()


def _gain(norm: _BatchNorm) -> Tensor:
    """What stored statistics and weight multiply each channel (C,) by, without its sign."""
    weight = norm.weight.detach().float().abs()
    if norm.running_var is None:
        return weight
    return weight / (norm.running_var + norm.eps).sqrt()


def _spectral_norms(layer: nn.Module) -> Tensor:
    """Spectral norm (C_out,) of each output channel's filter as a matrix (C_in, positions)."""
    # On the CPU, since not every accelerator has double precision.
    filters = layer.get_parameter("weight").detach().cpu().double()
    matrices = filters.flatten(2) if filters.dim() > 2 else filters.unsqueeze(2)
    norms: Tensor = torch.linalg.matrix_norm(matrices, ord=2)
    return norms.float()
