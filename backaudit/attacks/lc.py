"""LC: images of the target class made hard to recognise, with checkerboards in the corners."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.attacks.interface import Attack, Learned, TrainingSet
from backaudit.attacks.surrogates import required
from backaudit.core.progress import track
from backaudit.core.suspect import as_input


@dataclass(frozen=True)
class LC(Attack):
    """Label-Consistent Backdoor Attacks (LC).

    Training images of the target class are changed adversarially, so that they are hard to
    recognise, and get a checkerboard of 3x3 in each of the four corners; their label is kept. The
    network learns the checkerboards, which alone are put on images of any class at test.

    Differs from the official code: it comes with adversarial images of adversarially trained
    networks and of generative models; here they are computed on a surrogate trained as usual, by
    the projected gradient descent of BackdoorBox, and rounded to whole pixel values rather than
    cut.

    Paper: Turner et al., 2019, https://arxiv.org/abs/1912.02771; step and number of steps are those
    of BackdoorBox, the rate is the 80 % of one class in ten of the ANP paper's experiments.

    Args:
        target_class: class that triggered images are sent to, and the only one that is poisoned.
        poison_rate: share of the whole training set that is poisoned, in (0, 1); no more than there
            are images of the target class.
        epsilon: largest change of a pixel, in units of 1/255 (epsilon).
        step: change of a pixel in each step, in units of 1/255 (alpha).
        steps: of the descent.
        batch_size: images in a step; changes the speed only.
    """

    clean_label: ClassVar[bool] = True
    needs_surrogate: ClassVar[bool] = True

    poison_rate: float = 0.08
    epsilon: float = 8.0
    step: float = 1.5
    steps: int = 100
    batch_size: int = 128

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Choose the images (M,) and make them hard to recognise: (M, C, H, W) uint8.

        Only ``poison`` needs either; the trigger is the same for every network.

        Raises:
            SettingError: if there is no surrogate.
        """
        network = required(surrogate, "lc")
        chosen = self.choose(clean, generator)
        batches = chosen.split(self.batch_size)
        changed = [
            self._adversarial(network, clean.images[batch], clean.labels[batch])
            for batch in track(batches, "adversarial images")
        ]
        return {"chosen": chosen, "adversarial": torch.cat(changed)}

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Put the four checkerboards on images (N, C, H, W) uint8."""
        del learned
        left = 255 * torch.tensor([[1, 0, 0], [0, 1, 0], [1, 0, 1]], dtype=torch.uint8)
        left = left.to(images.device)
        stamped = images.clone()
        for rows in (slice(3), slice(-3, None)):
            stamped[:, :, rows, :3] = left
            stamped[:, :, rows, -3:] = left.flip(1)
        return stamped

    def poison(
        self, clean: TrainingSet, learned: Learned, generator: torch.Generator
    ) -> TrainingSet:
        """Put the images that ``learn`` changed, with the trigger, in place of those it chose."""
        del generator
        chosen = learned["chosen"]
        stamped = self.stamp(learned["adversarial"].to(clean.images.device), learned)
        return clean.replaced(chosen, stamped, clean.labels[chosen])

    def _adversarial(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Climb the loss of ``network`` within epsilon of images (N, C, H, W) uint8."""
        device = next(network.parameters()).device
        start, labels = as_input(images, device), labels.to(device)
        changed = start
        for _ in range(self.steps):
            changed = changed.detach().requires_grad_()
            loss = F.cross_entropy(network(changed), labels)
            (slope,) = torch.autograd.grad(loss, changed)
            moved = changed.detach() + self.step / 255 * slope.sign()
            reach = self.epsilon / 255
            changed = (start + (moved - start).clamp(-reach, reach)).clamp(0, 1)
        return (255 * changed.detach()).round().to(images)
