"""Small networks that share their prefixes in different ways, and the published procedure."""

from collections.abc import Sequence
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from backaudit.core.seeding import seeded
from backaudit.nets.layers import execution_order, norm_layers
from tests.toy import unusual

WIDTH = 8


def conv(channels: int = WIDTH) -> nn.Module:
    return nn.Conv2d(channels, WIDTH, 3, padding=1, bias=False)


class Stem(nn.Module):
    """A convolution, whatever a subclass does, and a linear head."""

    def __init__(self, norm: type[nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.stem = conv(3)
        make = nn.BatchNorm2d if norm is nn.BatchNorm2d else lambda width: nn.GroupNorm(2, width)
        self.convs = nn.ModuleList([conv() for _ in range(4)])
        self.norms = nn.ModuleList([make(WIDTH) for _ in range(5)])
        self.head = nn.Linear(WIDTH, 4)

    def body(self, features: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(self.norms[0](self.stem(images)))
        return self.head(features.mean((2, 3)))


class Residual(Stem):
    def body(self, features: Tensor) -> Tensor:
        for layer, norm in zip(self.convs, self.norms[1:], strict=True):
            features = F.relu(norm(layer(features)) + features, inplace=True)
        return features


class PreActivated(Stem):
    def body(self, features: Tensor) -> Tensor:
        for layer, norm in zip(self.convs, self.norms[1:], strict=True):
            features = features + layer(F.relu(norm(features)))
        return features


class Groups(Residual):
    def __init__(self) -> None:
        super().__init__(nn.GroupNorm)


class Concatenating(Stem):
    def body(self, features: Tensor) -> Tensor:
        found = [features]
        for layer, norm in zip(self.convs, self.norms[1:], strict=True):
            total = torch.stack(found).sum(0)
            found.append(layer(F.relu(norm(total))))
        return torch.cat(found, 1)[:, -WIDTH:]


class Branching(Stem):
    """Every branch starts at the same features, so that amplifying one leaves the others alone."""

    def body(self, features: Tensor) -> Tensor:
        pairs = zip(self.convs, self.norms[1:], strict=True)
        return sum(F.relu(norm(layer(features))) for layer, norm in pairs)


class Reusing(Stem):
    def body(self, features: Tensor) -> Tensor:
        for index in (0, 1, 0, 2, 1):
            features = F.relu(self.norms[1 + index](self.convs[index](features))) + features
        return features


class BySize(Stem):
    """Asks for the batch size early and uses it late, as old code does."""

    def body(self, features: Tensor) -> Tensor:
        size, shape = features.size(0), features.shape
        features = F.relu(self.norms[1](self.convs[0](features)))
        flat = self.norms[2](self.convs[1](features)).reshape(size, -1)
        halves = flat.view(shape).chunk(2, dim=1)
        features = self.norms[3](self.convs[2](torch.cat(halves[::-1], 1)))
        tokens = features.flatten(2).permute(2, 0, 1)
        tokens = tokens.reshape(tokens.shape[0], size * 2, -1)
        return tokens.reshape(-1, size, WIDTH).permute(1, 2, 0).reshape(shape)


class InPlace(Stem):
    """Changes features that are read again later."""

    def body(self, features: Tensor) -> Tensor:
        kept = self.convs[0](features)
        changed = self.norms[1](kept)
        other = self.norms[2](self.convs[1](F.relu(changed)))
        kept.mul_(2).add_(other)
        return self.norms[3](self.convs[2](kept)) + changed


class Layers(nn.Module):
    """Patches as tokens, with attention that torch.fx sees as one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, 4, 4)
        self.first = nn.Parameter(torch.linspace(-1, 1, WIDTH).view(1, 1, WIDTH))
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH) for _ in range(5)])
        self.attention = nn.ModuleList([nn.MultiheadAttention(WIDTH, 2) for _ in range(2)])
        self.linear = nn.ModuleList([nn.Linear(WIDTH, WIDTH) for _ in range(2)])
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(tokens.shape[0], -1, -1), tokens], 1).transpose(0, 1)
        for index in range(2):
            seen = self.norms[2 * index](tokens)
            tokens = tokens + self.attention[index](seen, seen, seen, need_weights=False)[0]
            seen = self.norms[2 * index + 1](tokens)
            tokens = tokens + F.gelu(self.linear[index](seen))
        return self.head(self.norms[4](tokens)[0])


class Activated(nn.BatchNorm2d):
    """A layer that applies its activation itself, as timm's do."""

    def forward(self, features: Tensor) -> Tensor:
        found = F.batch_norm(
            features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )
        return F.silu(found)


class Activating(Stem):
    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([Activated(WIDTH) for _ in range(5)])

    def body(self, features: Tensor) -> Tensor:
        for layer, norm in zip(self.convs, self.norms[1:], strict=True):
            features = norm(layer(features)) + features
        return features


class Deciding(Stem):
    """Runs another layer depending on the features, which torch.fx cannot trace."""

    def body(self, features: Tensor) -> Tensor:
        for layer, norm in zip(self.convs, self.norms[1:], strict=True):
            steps = 1 if features.abs().mean() > 0.5 else 2
            with torch.no_grad():
                for _ in range(steps):
                    features = F.relu(norm(layer(features)) + features, inplace=True)
        return features


class Mixing(Stem):
    """What one image gives depends on how many others there are."""

    def body(self, features: Tensor) -> Tensor:
        features = F.relu(self.norms[1](self.convs[0](features)))
        return self.norms[2](self.convs[1](features)) * (1 + features.size(0))


TRACEABLE: tuple[type[nn.Module], ...] = (
    *(Residual, PreActivated, Groups, Concatenating, Branching, Reusing, BySize, Layers),
    Activating,
)
NETWORKS = (*TRACEABLE, InPlace, Deciding)


def made(kind: type[nn.Module]) -> nn.Module:
    with seeded(1):
        return unusual(kind()).requires_grad_(False)


def images(count: int = 5, size: int = 8) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(2))


def deepest_first(network: nn.Module, batch: Tensor) -> list[str]:
    return list(execution_order(network, norm_layers(network), batch[:1]))[::-1]


def published(
    network: nn.Module, layers: Sequence[str], depths: Sequence[int], scale: float, batch: Tensor
) -> Tensor:
    """Logits (1 + G, N, K) as the published code computes them: a copy of the network a depth."""
    rows = [network(batch)]
    for depth in depths:
        copy = deepcopy(network)
        for name in layers[:depth]:
            layer = copy.get_submodule(name)
            layer.weight.data *= scale
            layer.bias.data *= scale
        rows.append(copy(batch))
    return torch.stack(rows)


def passes(network: nn.Module, work: nn.Module, batch: Tensor) -> float:
    """What ``work`` costs in passes of ``network``, counted in operations that were executed."""
    counts = []
    for each in (work, network):
        with FlopCounterMode(display=False) as counter:
            each(batch)
        counts.append(counter.get_total_flops())
    return counts[0] / counts[1]


def floor(network: nn.Module, layers: Sequence[str], depths: Sequence[int], batch: Tensor) -> float:
    """1 and the shares of operations that run after the first amplified layer of each depth."""
    before: dict[str, int] = {}
    counter = FlopCounterMode(display=False)
    hooks = [
        network.get_submodule(name).register_forward_pre_hook(
            lambda *_, name=name: before.setdefault(name, counter.get_total_flops()) and None
        )
        for name in layers
    ]
    with counter:
        network(batch)
    for hook in hooks:
        hook.remove()
    total = counter.get_total_flops()
    return 1 + sum(1 - before[layers[depth - 1]] / total for depth in depths)
