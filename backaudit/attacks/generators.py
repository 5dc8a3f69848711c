"""Networks that draw a trigger of its own for every image."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.attacks.interface import Learned, in_batches
from backaudit.core.seeding import seeded
from backaudit.core.suspect import as_input


class Generator(nn.Module):
    """A convolutional autoencoder: images (N, C, H, W) -> (N, K, H, W) in [0, 1].

    Args:
        channels: of the images (C).
        out_channels: of what is drawn (K).
        width: channels of the first convolution; they double with every step down but the last.
        steps: how often the resolution is halved, and doubled again.
    """

    def __init__(self, channels: int, out_channels: int, width: int = 32, steps: int = 3) -> None:
        super().__init__()
        widths = [width * 2**step for step in range(steps)]
        before, after = [channels, *widths[:-1]], [out_channels, *widths[:-1]]
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(first, wide), _convolution(wide, wide))
            for first, wide in zip(before, widths, strict=True)
        )
        self.middle = _convolution(widths[-1], widths[-1])
        self.up = nn.ModuleList(
            nn.Sequential(_convolution(wide, wide), _convolution(wide, last, relu=level > 0))
            for level, wide, last in reversed(list(zip(range(steps), widths, after, strict=True)))
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor) -> Tensor:
        """Draw; in float32, whatever the convolutions compute in."""
        sizes, x = [], images
        for step in self.down:
            x = step(x)
            sizes.append(x.shape[2:])
            x = F.max_pool2d(x, 2)
        x = self.middle(x)
        for step, size in zip(self.up, reversed(sizes), strict=True):
            # Doubling, except where halving rounded down.
            x = step(F.interpolate(x, size, mode="bilinear"))
        return torch.tanh(x.float()) / 2 + 0.5


def _convolution(before: int, after: int, *, relu: bool = True) -> nn.Sequential:
    layers = [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after, momentum=0.05)]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


class DrawnTrigger(nn.Module):
    """A pattern and a mask, both drawn by a network that sees the image.

    Args:
        channels: of the images.
        width: of both generators.
        steps: of both generators.
        seed: of the initial weights.
    """

    def __init__(self, channels: int, width: int, steps: int, seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.pattern = Generator(channels, channels, width, steps)
            self.mask = Generator(channels, 1, width, steps)

    def masks(self, images: Tensor) -> Tensor:
        """Where the trigger of each image (N, C, H, W) lies: (N, 1, H, W), nearly 0 or 1."""
        return masked(self.mask, images)

    @staticmethod
    def applied(images: Tensor, patterns: Tensor, masks: Tensor) -> Tensor:
        """Images with the patterns in place of them where the masks are 1."""
        return images + (patterns - images) * masks

    @torch.no_grad()
    def stamped(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) uint8, each with the trigger drawn for it."""
        parts = [images[:0]]
        for batch in in_batches(images):
            inputs = as_input(batch, batch.device)
            triggered = self.applied(inputs, self.pattern(inputs), self.masks(inputs))
            parts.append(triggered.mul(255).round().to(torch.uint8))
        return torch.cat(parts)

    def learned(self) -> Learned:
        """Weights of both networks, as ``pattern.<key>`` and ``mask.<key>``."""
        return {name: tensor.detach().clone() for name, tensor in self.state_dict().items()}


def masked(network: nn.Module, images: Tensor) -> Tensor:
    """What ``network`` draws, driven towards 0 and 1."""
    mask: Tensor = network(images)
    return torch.tanh(20 * mask - 10) / 2 + 0.5


def sameness(images: Tensor, others: Tensor, drawn: Tensor, drawn_for_others: Tensor) -> Tensor:
    """How much farther apart images are than what is drawn for them: IAD's diversity loss.

    Args:
        images: (N, C, H, W).
        others: (N, C, H, W) that they are compared with.
        drawn: (N, K, H, W) for the images.
        drawn_for_others: (N, K, H, W) for the others.
    """
    return (_distances(images, others) / (_distances(drawn, drawn_for_others) + 1e-7)).mean()


def _distances(first: Tensor, second: Tensor) -> Tensor:
    difference = (first - second).flatten(1)
    # Unlike the root of a mean, a norm has a gradient, of 0, where both are the same.
    distances: Tensor = torch.linalg.vector_norm(difference, dim=1)
    return distances.div(difference.shape[1] ** 0.5)
