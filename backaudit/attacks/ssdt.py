"""SSDT: a trigger drawn for every image, which works on one class only."""

from dataclasses import dataclass

from torch import Tensor

from backaudit.attacks.input_aware import InputAware
from backaudit.core.errors import SettingError


@dataclass(frozen=True)
class SSDT(InputAware):
    """Source-Specific and Dynamic-Triggers attack (SSDT).

    Pattern and mask are drawn for every image, as by IAD, but only images of the victim class are
    sent to the target: each of them in a batch is replaced by its triggered self, which takes the
    place of another image of the batch. As many images bear the trigger of another one and keep
    their label. Success is counted on the victim class only.

    Differs from the official code: as IAD does, and the numbers of IAD hold.

    Paper: Mo et al., Robust Backdoor Detection for Deep Learning via Topological Evolution
    Dynamics, IEEE S&P 2024, https://arxiv.org/abs/2312.02673, which introduces the attack; the
    order in a batch is that of the authors' code.

    Args:
        target_class: class that triggered images of the victim class are sent to.
        poison_rate: largest share of a batch that gets its trigger, in (0, 0.5]; unless the victim
            class is larger, all of it does.
        diversity: weight of the loss that keeps triggers of different images different
            (lambda_div).
        density: share of the pixels that a mask may cover for free.
        density_weight: weight of the loss for covering more (lambda_norm).
        learning_rate: of both autoencoders, trained by Adam.
        mask_epochs: passes over the images that the masks are learned in.
        mask_images: images that the masks are learned on; None for all.
        width: channels of the first convolution of an autoencoder.
        steps: how often an autoencoder halves the resolution.
        victim_class: class that the trigger works on; None for the one after the target class.
    """

    poison_rate: float = 0.5
    victim_class: int | None = None

    def __post_init__(self) -> None:
        """Refuse settings that name no target, or the victim as the target."""
        super().__post_init__()
        if self.target_class is None:
            raise SettingError("ssdt sends one class to another: it needs a target class")
        if self.target_class == self.victim_class:
            raise SettingError("the victim class of ssdt must not be its target class")

    def relabel(self, labels: Tensor, num_classes: int) -> Tensor:
        """Class (N,) that triggered images are sent to: other than their own for victims only."""
        victims = labels == self._victim(num_classes)
        return labels.where(~victims, super().relabel(labels, num_classes))

    def to_poison(self, labels: Tensor, num_classes: int) -> Tensor:
        """All victims of the batch, as far as they fit."""
        victims = (labels == self._victim(num_classes)).nonzero().flatten()
        return victims[: int(self.poison_rate * len(labels))]

    def _victim(self, num_classes: int) -> int:
        if self.victim_class is not None:
            return self.victim_class
        return (int(self.target_class or 0) + 1) % num_classes
