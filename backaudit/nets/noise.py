"""Relative noise on a network's neurons, and the search for the noise that hurts most."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.progress import track
from backaudit.nets.grouped import grouped_call
from backaudit.nets.layers import batch_norms, hooked, linear_maps, norm_layers
from backaudit.nets.precision import fast_autocast
from backaudit.nets.renormalising import renormalised

Noise = dict[str, Tensor]

BATCH_NORM, RENORMALISED, OTHER_NORM, NEURON = "batch-norm", "renormalised", "other-norm", "neuron"
"""Where noise may be: on the network's own batch norm, on batch norm that was added to it, on other
normalisation layers, on the weights of each neuron."""


@dataclass(frozen=True)
class Climb:
    """How noise is searched.

    Args:
        budgets: rising half-widths of the box (epsilon), relative to each parameter.
        steps: sign steps for each budget.
        towards: True to lower the loss at the labels, False to raise it (BAN Eq. 4).
        bf16: whether to compute in bfloat16 where the device is fast at it.
        what: told to who watches the progress.
    """

    budgets: tuple[float, ...]
    steps: int
    towards: bool = False
    bf16: bool = True
    what: str = "searching noise"


class NoisyNetwork(Protocol):
    """A network that can be run as several noisy copies at once."""

    @property
    def kind(self) -> str:
        """Where the noise is: ``BATCH_NORM``, ``RENORMALISED``, ``OTHER_NORM`` or ``NEURON``."""
        ...

    @property
    def shapes(self) -> Mapping[str, torch.Size]:
        """Shape of the noise for each noisy parameter."""
        ...

    def __call__(self, images: Tensor, noise: Noise, groups: int) -> Tensor:
        """Logits (G * B, K) of images (G * B, C, H, W), group g under noise[...][g]."""
        ...


@dataclass(frozen=True)
class NormNoise:
    """Noise on normalisation layers: gamma (1 + delta), beta (1 + xi) (BAN Eq. 3)."""

    network: nn.Module
    parameters: Mapping[str, Tensor]
    kind: str
    batch_statistics: bool = True

    @property
    def shapes(self) -> Mapping[str, torch.Size]:
        """Shape of each noisy parameter."""
        return {name: parameter.shape for name, parameter in self.parameters.items()}

    def __call__(self, images: Tensor, noise: Noise, groups: int) -> Tensor:
        """Logits (G * B, K) of images (G * B, C, H, W), group g under noise[...][g]."""
        noisy = {name: self.parameters[name] * (1 + delta) for name, delta in noise.items()}
        return grouped_call(
            self.network, noisy, images, groups, batch_statistics=self.batch_statistics
        )


@dataclass(frozen=True)
class NeuronNoise:
    """Noise on convolutions and linear layers, channel j: (1 + delta_j) w_j, (1 + xi_j) b_j.

    For networks without normalisation layers. Every layer but the last is noisy: noise on the
    classifier itself would move predictions in any network.
    """

    network: nn.Module
    layers: Mapping[str, nn.Module]
    kind: str = NEURON

    @property
    def shapes(self) -> Mapping[str, torch.Size]:
        """Shape of each noisy parameter: one number a neuron, for its weights and for its bias."""
        sizes = {
            name: layer.get_parameter("weight").shape[:1] for name, layer in self.layers.items()
        }
        weights = {f"{name}.weight": size for name, size in sizes.items()}
        biases = {
            f"{name}.bias": sizes[name] for name in sizes if _bias(self.layers[name]) is not None
        }
        return weights | biases

    def __call__(self, images: Tensor, noise: Noise, groups: int) -> Tensor:
        """Logits (G * B, K) of images (G * B, C, H, W), group g under noise[...][g]."""
        hooks = [self._hook(name, layer, noise, groups) for name, layer in self.layers.items()]
        with hooked(list(self.layers.values()), hooks):
            logits: Tensor = self.network(images)
        return logits

    def _hook(self, name: str, layer: nn.Module, noise: Noise, groups: int) -> Any:
        bias = _bias(layer)

        def add_noise(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            axis = output.dim() - 1 if isinstance(layer, nn.Linear) else 1
            shape = (groups,) + (1,) * axis + (-1,) + (1,) * (output.dim() - axis - 1)
            noisy = output.unflatten(0, (groups, -1)) * (1 + noise[f"{name}.weight"].view(shape))
            if bias is not None:
                extra = noise[f"{name}.bias"] - noise[f"{name}.weight"]
                noisy = noisy + (extra * bias).view(shape)
            flat: Tensor = noisy.flatten(0, 1)
            return flat

        return add_noise


def noisy_network(network: nn.Module, *, batch_statistics: bool = True) -> NoisyNetwork:
    """Choose where to put the noise: normalisation layers, else all linear maps but the last.

    Args:
        network: images -> logits, in eval mode.
        batch_statistics: whether batch-norm layers use statistics of the batch, or the stored ones.

    Raises:
        NotApplicableError: if the network has neither.
    """
    norms = norm_layers(network)
    parameters = {
        f"{name}.{kind}": parameter.detach()
        for name, module in norms.items()
        for kind, parameter in module.named_parameters(recurse=False)
    }
    if parameters:
        kind = BATCH_NORM if norms.keys() & batch_norms(network).keys() else OTHER_NORM
        return NormNoise(network, parameters, kind, batch_statistics)
    maps = linear_maps(network)
    if len(maps) < 2:
        raise NotApplicableError("the network has no layer whose neurons noise could be put on.")
    return NeuronNoise(network, dict(list(maps.items())[:-1]))


@contextmanager
def renormalised_noise(
    network: nn.Module, clean: CleanSet, *, batch_statistics: bool = True
) -> Iterator[NoisyNetwork]:
    """Inside the block, the network under noise, on batch norm of its own or added to it.

    Args:
        network: images -> logits, in eval mode; as it was after the block.
        clean: what added batch norm takes its statistics from.
        batch_statistics: whether batch-norm layers use statistics of the batch, or the stored ones.

    Raises:
        NotApplicableError: if the network has no layer that noise could be put on.
    """
    with renormalised(network, clean) as added:
        noisy = noisy_network(network, batch_statistics=batch_statistics)
        # The layers' names would not tell: a suspect's own may have any.
        if added and isinstance(noisy, NormNoise):
            noisy = replace(noisy, kind=RENORMALISED)
        yield noisy


def draw_noise(
    shapes: Mapping[str, torch.Size],
    budget: float,
    generators: Sequence[torch.Generator],
    device: torch.device,
) -> Noise:
    """Draw noise uniform in [-budget, budget], one group for each generator."""
    drawn = {
        name: torch.stack([torch.rand(shape, generator=generator) for generator in generators])
        for name, shape in shapes.items()
    }
    return {name: (2 * budget * (unit - 0.5)).to(device) for name, unit in drawn.items()}


def walk(
    noisy: NoisyNetwork,
    images: Tensor,
    labels: Tensor,
    noise: Noise,
    climb: Climb,
) -> Iterator[Noise]:
    """Move noise along the gradient's sign in a growing box; yield it at each budget.

    One walk serves every budget: it goes on from the noise of the budget before. The noise is
    clipped to [-budget, budget] after each step.

    Args:
        noisy: the network.
        images: (G * B, C, H, W) in [0, 1], group after group.
        labels: (G * B,) classes to go away from, or towards.
        noise: where to start, name -> (G, *shape).
        climb: how to walk.
    """
    groups = len(next(iter(noise.values())))
    device = images.device
    before = (0.0, *climb.budgets)
    for step in track(range(climb.steps * len(climb.budgets)), climb.what):
        level = step // climb.steps
        budget = climb.budgets[level]
        stride = (budget - before[level]) / climb.steps * (-1 if climb.towards else 1)
        leaves = {name: delta.detach().requires_grad_() for name, delta in noise.items()}
        with fast_autocast(device, wanted=climb.bf16):
            logits = noisy(images, leaves, groups)
        loss = F.cross_entropy(logits.float(), labels, reduction="sum")
        # A layer may be there and not run, such as those of an auxiliary head.
        gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
        noise = {
            name: (delta.detach() + stride * gradient.sign()).clamp_(-budget, budget)
            for (name, delta), gradient in zip(leaves.items(), gradients, strict=True)
        }
        if (step + 1) % climb.steps == 0:
            yield noise


def _bias(layer: nn.Module) -> Tensor | None:
    return None if layer.bias is None else layer.get_parameter("bias")
