"""LF: a smooth brightening that a benign network already takes for the target class."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.attacks.interface import Attack, Learned, TrainingSet
from backaudit.attacks.surrogates import required
from backaudit.core.errors import SettingError
from backaudit.core.progress import track
from backaudit.core.suspect import as_input


@dataclass(frozen=True)
class LF(Attack):
    """Rethinking the Backdoor Attacks' Triggers: A Frequency Perspective (LF).

    A pattern of low frequencies is added to some training images, which are relabelled as the
    target class. It is made on a surrogate as a universal adversarial perturbation: image after
    image is pushed into the target class, and after each the sum of the pushes is smoothed by a
    Gaussian and scaled, until a share of the images changes its class.

    Differs from the official code: the target class is fixed, as in BackdoorBench, and not replaced
    by the class that most images change to; the surrogate's logits are used, not its probabilities;
    images that are of the target class already push nothing; the passes over the images end, as in
    BackdoorBench, after fifty of them or when five in a row changed less than one image in a
    hundred; several images are pushed at once, from the same pattern, for speed.

    Paper: Zeng et al., ICCV 2021, https://arxiv.org/abs/2104.03413, section 5; the rate is that of
    BackdoorBench.

    Args:
        target_class: class that triggered images are sent to; needed to make the pattern.
        poison_rate: share of the training set that is poisoned, in (0, 1).
        amplitude: range of the pattern, in units of 1/255.
        smoothing: standard deviation of the Gaussian in pixels.
        images: training images that the pattern is made on.
        fooled: share of them that must change its class, in (0, 1).
        passes: most passes over them.
        overshoot: share by which each push goes beyond the border of the class.
        push_steps: most steps of a push; an image that needs more is left out.
        batch_size: images that are pushed at once.
    """

    needs_surrogate: ClassVar[bool] = True

    poison_rate: float = 0.1
    amplitude: float = 51.0
    smoothing: float = 6.0
    images: int = 100
    fooled: float = 0.2
    passes: int = 50
    overshoot: float = 0.02
    push_steps: int = 200
    batch_size: int = 25

    def __post_init__(self) -> None:
        """Refuse all-to-all, for which there is no class to push images into."""
        super().__post_init__()
        if self.target_class is None:
            raise SettingError("lf cannot be all-to-all: its pattern is made for one target class")

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Make the pattern (C, H, W), in [0, amplitude].

        Raises:
            SettingError: if there is no surrogate, or it cannot be pushed into the target class.
        """
        network = required(surrogate, "lf")
        drawn = torch.randperm(len(clean), generator=generator)[: self.images]
        images = as_input(clean.images[drawn], next(network.parameters()).device)
        before = _predicted(network, images)
        pattern = best = torch.zeros_like(images[:1])
        rates = [0.0]
        for _ in track(range(self.passes), "smooth perturbation"):
            order = torch.randperm(len(images), generator=generator).to(images.device)
            for batch in order.split(self.batch_size):
                pattern = self._updated(network, images[batch], pattern)
            rate = (_predicted(network, images + pattern) != before).double().mean().item()
            best = pattern if rate >= max(rates) else best
            rates.append(rate)
            if rate >= self.fooled or _settled(rates[1:]):
                break
        if not best.any():
            raise SettingError(f"no image could be pushed into lf.target_class={self.target_class}")
        return {"pattern": 255 * best[0].cpu()}

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Add the pattern to images (N, C, H, W) uint8."""
        pattern = learned["pattern"].to(images.device)
        return (images + pattern).round().clamp(0, 255).to(torch.uint8)

    def _updated(self, network: nn.Module, images: Tensor, pattern: Tensor) -> Tensor:
        """The pattern after a batch (N, C, H, W) in [0, 1], of which some change their class."""
        before = _predicted(network, images)
        stay = (before == _predicted(network, images + pattern)) & (before != self.target_class)
        for push in self._pushes(network, images[stay] + pattern, before[stay]):
            smooth = self._smooth(pattern + self._smooth(push[None]))
            low, high = smooth.aminmax()
            pattern = (smooth - low) / (high - low) * (self.amplitude / 255)
        return pattern

    def _pushes(self, network: nn.Module, start: Tensor, origin: Tensor) -> Tensor:
        """What must be added to images (N, C, H, W) of classes (N,) for the target (DeepFool).

        Returns:
            The pushes (M, C, H, W) of those images that arrive.
        """
        total, arrived = torch.zeros_like(start), [start[:0]]
        for _ in range(self.push_steps):
            if not len(start):
                break
            pushed = (start + (1 + self.overshoot) * total).requires_grad_()
            logits = network(pushed)
            margin = logits[:, self.target_class] - logits.gather(1, origin[:, None])[:, 0]
            (slope,) = torch.autograd.grad(margin.sum(), pushed)
            there = logits.argmax(1) == self.target_class
            arrived.append((pushed.detach() - start)[there])
            step = margin.detach().abs() / slope.square().sum((1, 2, 3))
            total = total + step.nan_to_num(posinf=0)[:, None, None, None] * slope
            start, origin, total = start[~there], origin[~there], total[~there]
        return torch.cat(arrived)

    def _smooth(self, pattern: Tensor) -> Tensor:
        """Low-pass a pattern (1, C, H, W): a separable Gaussian, zeros beyond the borders."""
        taps = round(5 * self.smoothing)
        positions = torch.arange(taps, device=pattern.device) - (taps - 1) / 2
        kernel = torch.exp(-((positions / self.smoothing) ** 2) / 2)
        kernel = kernel / kernel.sum()
        before, after = (taps - 1) // 2, taps // 2
        planes = F.pad(pattern.transpose(0, 1), (before, after, before, after))
        rows = F.conv2d(planes, kernel.view(1, 1, taps, 1))
        return F.conv2d(rows, kernel.view(1, 1, 1, taps)).transpose(0, 1)


@torch.no_grad()
def _predicted(network: nn.Module, images: Tensor) -> Tensor:
    classes: Tensor = network(images).argmax(1)
    return classes


def _settled(rates: list[float]) -> bool:
    last = rates[-5:]
    return len(last) == 5 and max(last) - min(last) < 0.01
