"""STRIP: does the prediction survive other images laid over the image?"""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Rule
from backaudit.core.suspect import Suspect, as_input, batch_size
from backaudit.screeners.interface import Fit, Scored
from backaudit.screeners.passes import logits_of


@dataclass(frozen=True)
class STRIP:
    """STRIP: A Defence Against Trojan Attacks on Deep Neural Networks.

    Lays clean images over the image, one at a time, and looks at the predictions. Those of a clean
    image become uncertain; a trigger that shows through keeps them at its class.

    Score: minus the mean entropy of the predictions, in nats, from minus the logarithm of the
        number of classes to 0; 0 is most suspicious.
    Needs: as many forward passes per image as there are overlays, and one; as many clean images.
    Blind to: triggers that an overlay hides, such as weak blends and warps; triggers that work only
        on images of some classes; networks trained to be uncertain on overlaid triggered images.
        Where clean images stay certain under overlays, they look triggered.
    Differs from the official code: as BackdoorBench and backdoor-toolbox have it, 64 overlays of
        half weight are added to normalised images and not clipped; with ``mixing=pixels``,
        ``weight=1`` and ``overlays=100`` it is the authors' sum of pixels, clipped. Every image
        gets the same overlays (those codes: drawn anew for each batch), none of them an image that
        the threshold is found with. Entropies are in nats (the authors: bits), which ranks images
        alike. The paper's threshold is the quantile of clean entropies at an accepted rate of
        mistakes; here calibration finds it so that the rate holds for new images.
    Paper: Gao, Xu, Wang, Chen, Ranasinghe and Nepal, ACSAC 2019, https://arxiv.org/abs/1902.06531.

    Args:
        overlays: clean images laid over each image (N), at least 1; all, if there are fewer.
        weight: factor on an overlay before it is added, above 0.
        mixing: ``normalised`` adds what the network sees after normalisation; ``pixels`` adds pixel
            values and clips them to [0, 1].
        seed: of the choice of overlays.
        threshold: an image with a higher score is flagged, at most 0; None for the one that
            calibration finds.
    """

    rule: ClassVar[Rule] = Rule(
        "BA202",
        "strip",
        "Does the prediction survive when other images are laid over the image?",
    )

    overlays: int = 64
    weight: float = 0.5
    mixing: Literal["normalised", "pixels"] = "normalised"
    seed: int = 0
    threshold: float | None = None

    def fit(self, suspect: Suspect, clean: CleanSet) -> Fit:
        """Choose the overlays.

        Returns:
            ``pixels``: their bytes in base 64; ``shape``: (N, C, H, W); ``mean``: what the network
            subtracts from each channel, in [0, 1] units.

        Raises:
            NotApplicableError: if there is no clean image.
        """
        if not len(clean):
            raise NotApplicableError("there is no clean image to lay over others.")
        generator = torch.Generator().manual_seed(self.seed)
        chosen = torch.randperm(len(clean), generator=generator)[: self.overlays]
        pixels = clean.images[chosen].contiguous()
        return {
            "pixels": b64encode(pixels.numpy().tobytes()).decode("ascii"),
            "shape": list(pixels.shape),
            "mean": list(suspect.preprocessing.mean),
        }

    def scorer(self, network: nn.Module, fit: Fit, example: Tensor) -> "STRIPScorer":
        """Prepare to score images.

        Raises:
            NotApplicableError: if the overlays are not of the size of the network's images.
        """
        shape = list(fit.get("shape", ()))
        if shape[1:] != list(example.shape[1:]):
            raise NotApplicableError(
                f"the calibration of strip holds overlays of {shape[1:]} (channels, height, "
                f"width), and images are {list(example.shape[1:])}; calibrate this network."
            )
        stored = torch.frombuffer(bytearray(b64decode(fit["pixels"])), dtype=torch.uint8)
        overlays = as_input(stored.view(shape), example.device)
        if self.mixing == "normalised":
            overlays = overlays - torch.tensor(fit["mean"], device=example.device).view(-1, 1, 1)
        return STRIPScorer(network, self.weight * overlays, clip=self.mixing == "pixels")


@dataclass(frozen=True)
class STRIPScorer:
    """STRIP at work on one network.

    Args:
        network: images in [0, 1] -> logits.
        overlays: (M, C, H, W) added to each image.
        clip: whether the sums are clipped to [0, 1].
    """

    network: nn.Module
    overlays: Tensor
    clip: bool

    @property
    def how(self) -> str:
        """How the forward passes are shared: they are not, as the pixels differ."""
        return f"plain forward passes: {1 + len(self.overlays)} per image"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Scored:
        """Score images (N, C, H, W) in [0, 1]."""
        return Scored(logits_of(self.network, images), self.certainty(images))

    @torch.no_grad()
    def certainty(self, images: Tensor) -> Tensor:
        """Scores (N,) of images (N, C, H, W) in [0, 1], without the plain pass."""
        return -torch.cat([self._mean_entropy(part) for part in images.split(batch_size(images))])

    def _mean_entropy(self, images: Tensor) -> Tensor:
        """Mean entropy (N,) over the overlays, of which as many are laid on as fit in a batch."""
        total = torch.zeros(len(images), device=images.device)
        for some in self.overlays.split(max(1, batch_size(images) // len(images))):
            mixed = (images + some[:, None]).flatten(0, 1)
            mixed = mixed.clamp(0, 1) if self.clip else mixed
            entropy = torch.special.entr(self.network(mixed).float().softmax(1)).sum(1)
            total += entropy.view(len(some), -1).sum(0)
        return total / len(self.overlays)
