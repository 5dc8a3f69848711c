"""ISSBA: bits hidden in the image, which change each image in a way of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from backaudit.attacks.interface import Attack, Learned, TrainingSet, in_batches
from backaudit.attacks.pretraining import draw_seed, pretrain, resting, some_images
from backaudit.attacks.steganography import Decoder, Encoder
from backaudit.core.seeding import seeded
from backaudit.core.suspect import as_input

BATCH = 32


@dataclass(frozen=True)
class ISSBA(Attack):
    """Invisible Backdoor Attack with Sample-Specific Triggers (ISSBA; BackdoorBench's SSBA).

    An encoder learns to hide bits in images, invisibly, so that a decoder can read them again. The
    trigger is what it adds to hide one fixed string of bits, which depends on the image. Some
    training images get it and are relabelled as the target class.

    Differs from the official code: the perceptual distance of LPIPS, whose network would have to be
    downloaded, is replaced by the mean absolute difference of the images' gradients along rows and
    columns; triggered images are rounded to 8 bits, as in a file; there is no critic, whose score
    the code adds to the loss without ever training it, by default.

    The published training takes 31 000 steps (50 000 images, 20 epochs, batches of 32). With few
    images or epochs the bits are not learned, and the trigger is then what an untrained encoder
    adds.

    Paper: Li et al., ICCV 2021, https://arxiv.org/abs/2012.03816, section 4; encoder and decoder
    are those of Tancik et al., StegaStamp, CVPR 2020, https://arxiv.org/abs/1904.05343, with the
    layers and numbers of BackdoorBox for images of 32x32.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of the training set that is poisoned, in (0, 1).
        bits: length of the hidden string.
        epochs: passes over the images that the encoder is trained in.
        bits_only_epochs: first passes, in which only the bits count.
        images: images that the encoder is trained on; None for all.
        learning_rate: of encoder and decoder, trained by Adam.
        change_weight: weight of the mean square of what is added.
        perception_weight: weight of the difference of the gradients.
        bits_weight: weight of the cross-entropy of the bits.
        width: channels of the first convolution of the encoder.
    """

    bits: int = 20
    epochs: int = 20
    bits_only_epochs: int = 2
    images: int | None = None
    learning_rate: float = 1e-4
    change_weight: float = 2.0
    perception_weight: float = 1.5
    bits_weight: float = 1.5
    width: int = 32

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Learn to hide bits; draw those to hide, as ``bits``. The encoder is ``encoder.<key>``."""
        del surrogate
        hiding = _Hiding(self, clean.images.shape[1:], draw_seed(generator))
        images = some_images(clean, self.images, generator)
        first = self.bits_only_epochs * -(-len(images) // BATCH)
        goal = _Hidden(self, hiding, generator, bits_only_steps=first)
        pretrain(hiding, images, goal, resting(self.epochs, BATCH), generator)
        weights = {f"encoder.{key}": tensor for key, tensor in hiding.encoder.state_dict().items()}
        return weights | {"bits": _draw_bits((self.bits,), generator)}

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Hide the bits in images (N, C, H, W) uint8."""
        hiding = _Hiding(self, images.shape[1:])
        weights = {
            key.removeprefix("encoder."): tensor for key, tensor in learned.items() if key != "bits"
        }
        hiding.encoder.load_state_dict(weights)
        hiding.to(images.device)
        bits = learned["bits"].to(images.device)
        stamped = [images[:0]]
        with torch.no_grad():
            for batch in in_batches(images):
                inputs = as_input(batch, batch.device)
                changed = hiding.hidden(inputs, bits.expand(len(batch), -1))[0]
                stamped.append(changed.mul(255).round().to(torch.uint8))
        return torch.cat(stamped)


class _Hiding(nn.Module):
    """An encoder and its decoder."""

    def __init__(self, attack: ISSBA, shape: Sequence[int], seed: int = 0) -> None:
        super().__init__()
        with seeded(seed):
            self.encoder = Encoder(shape, attack.bits, attack.width)
            self.decoder = Decoder(shape, attack.bits, attack.width)

    def hidden(self, images: Tensor, bits: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) in [0, 1] with bits (N, B) in them, and what was added."""
        added: Tensor = self.encoder(images, bits)
        return (images + added).clamp(0, 1), added


class _Hidden:
    """Bits that can be read again and not seen."""

    def __init__(
        self, attack: ISSBA, hiding: _Hiding, generator: torch.Generator, bits_only_steps: int
    ) -> None:
        self.optimizers: Sequence[Optimizer] = (Adam(hiding.parameters(), attack.learning_rate),)
        self._attack, self._hiding = attack, hiding
        self._generator, self._bits_only = generator, bits_only_steps

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Loss of hiding random bits in images (N, C, H, W) in [0, 1]."""
        del network, labels
        bits = _draw_bits((len(images), self._attack.bits), self._generator).to(images.device)
        changed, added = self._hiding.hidden(images, bits)
        unread = F.binary_cross_entropy_with_logits(self._hiding.decoder(changed), bits)
        self._bits_only -= 1
        if self._bits_only >= 0:
            return unread
        return (
            self._attack.change_weight * added.square().mean()
            + self._attack.perception_weight * edges(changed - images)
            + self._attack.bits_weight * unread
        )


def edges(difference: Tensor) -> Tensor:
    """How much edges differ between images with a difference (N, C, H, W): their mean gradient."""
    return difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()


def _draw_bits(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(2, shape, generator=generator).float()
