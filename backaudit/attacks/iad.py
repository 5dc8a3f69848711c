"""IAD: a trigger that a network draws for every image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from backaudit.attacks.input_aware import InputAware


@dataclass(frozen=True)
class IAD(InputAware):
    """Input-Aware Dynamic Backdoor Attack (IAD).

    Two autoencoders see the image: one draws a pattern G(x), the other a small mask M(x), and the
    triggered image is x + (G(x) - x) M(x). M is trained first, alone; G then together with the
    network. Other images of each batch bear the trigger of a third one and keep their label, so
    that a trigger works on its own image only.

    Differs from the official code: triggered images are rounded to 8 bits when they are stamped,
    as in a file, and are floating point only in training; the gradients of G are zeroed after each
    step, where the code lets them add up; distances are taken between images in [0, 1], as it does
    for GTSRB, and not normalised ones; images are compared with others of their own batch, and not
    of a second one; the learning rate of G stays as it is, where the code lowers it after 200
    epochs; that of M falls at the same shares of its training.

    Paper: Nguyen and Tran, NeurIPS 2020, https://arxiv.org/abs/2010.08138, section 3; the numbers
    are those of the authors' code for CIFAR-10 and GTSRB (for MNIST: width 16, steps 2).

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of each batch that gets its trigger (rho_b), in (0, 0.5]; as many get
            another's (rho_c).
        diversity: weight of the loss that keeps triggers of different images different
            (lambda_div).
        density: share of the pixels that a mask may cover for free.
        density_weight: weight of the loss for covering more (lambda_norm).
        learning_rate: of both autoencoders, trained by Adam.
        mask_epochs: passes over the images that M is trained in.
        mask_images: images that M is trained on; None for all.
        width: channels of the first convolution of an autoencoder.
        steps: how often an autoencoder halves the resolution.
    """

    def to_poison(self, labels: Tensor, num_classes: int) -> Tensor:
        """The first of the batch, whatever their class."""
        del num_classes
        return torch.arange(int(self.poison_rate * len(labels)), device=labels.device)
