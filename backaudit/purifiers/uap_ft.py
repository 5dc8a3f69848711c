"""UAP fine-tuning: the network learns to ignore small changes that take all images to a class."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Rule
from backaudit.core.suspect import as_input
from backaudit.nets.memory import images_at_once
from backaudit.nets.noise import Climb
from backaudit.nets.perturbation import normalised, perturbed, walk_pixels, within
from backaudit.nets.recalibration import statistics_kept
from backaudit.nets.schedules import Schedule
from backaudit.nets.stages import Stages
from backaudit.nets.training import Training
from backaudit.nets.watching import count_classes
from backaudit.purifiers.finetuning import FEWEST, FineTuning, require_images
from backaudit.purifiers.interface import Measurements, Parts
from backaudit.purifiers.soft_labels import SoftLabels, taught_by

MOST_CLASSES = 100
"""More would take hours: each is searched before each epoch."""


@dataclass(frozen=True)
class UAPFT:
    """Fine-tuning against targeted universal adversarial perturbations.

    Before each epoch one small perturbation is searched towards each class. Where it takes most
    images along, there is a shortcut, and the perturbation is a guess of its trigger: the network
    learns to answer with it as it does without, while the search goes on, so that the next way in
    is not found beside the one that was closed. A class that was reached at first is watched to the
    end: the trigger itself may be a larger change.

    Score: none; it reports the classes that are reached before and after, and the accuracy on the
        validation images, in [0, 1].
    Needs: a class that a small change reaches, of 100 at most; 20 clean images, better 500. No
        normalisation layer.
    Blind to: triggers that no small perturbation of all images alike comes near to, such as warps;
        whether the backdoor is gone, which only triggered images show.
    Paper: none does just this. To unlearn what fools the network on all images is the idea of Zeng
        et al., ICLR 2022, https://arxiv.org/abs/2110.03735 (``i-bau``), whose one perturbation of
        any size stands for all triggers; here there is one a class, no larger than benign networks
        bear, and the suspect's own answers are learned beside the labels.

    Args:
        epochs: passes over the clean images; few images make several passes an epoch.
        learning_rate: of stochastic gradient descent with momentum, at the start.
        schedule: of this rate: ``constant``, or ``cosine``, which falls to zero.
        batch_size: images a step, if there are 2,500; fewer make as many steps, of 32 or more.
        label_weight: of the labels in what is learned, in [0, 1]; the rest are the answers of the
            network as it came.
        perturbed_weight: of the loss on perturbed images.
        radius: root mean square of a perturbation over the pixels, in [0, 1] units.
        wanted: share of images that must go to a class for it to count as reached, in (0, 1).
        search_images: that the search before an epoch is made on, at most.
        search_steps: normalised gradient steps of that search.
        stride: of a further step of it with each batch, in radii.
        patience: after so many epochs without a better validation accuracy, from the middle on, it
            ends.
        recalibrate: whether it closes with a recalibration of the batch-norm statistics.
        bf16: whether to compute in bfloat16 where the device is fast at it.
    """

    rule: ClassVar[Rule] = Rule(
        "BA410", "uap-ft", "Does learning to ignore small universal perturbations repair it?"
    )

    epochs: int = 20
    learning_rate: float = 0.01
    schedule: Schedule = "constant"
    batch_size: int = 128
    label_weight: float = 0.3
    perturbed_weight: float = 1.0
    radius: float = 0.02
    wanted: float = 0.5
    search_images: int = 48
    search_steps: int = 8
    stride: float = 0.3
    patience: int = 6
    recalibrate: bool = True
    bf16: bool = True

    @property
    def fewest_images(self) -> int:
        """Enough for the statistics of a batch."""
        return FEWEST

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        """Fine-tune ``network`` in place on ``parts.fit``, as they are and perturbed.

        Raises:
            NotApplicableError: if there are too few images or too many classes, or no class is
                reached.
            DivergedError: if a loss or a weight became NaN or infinite.
        """
        require_images(len(parts.fit), self.fewest_images)
        training = Training(
            self.epochs,
            self.learning_rate,
            self.batch_size,
            weight_decay=0.0,
            bf16=self.bf16,
            schedule=self.schedule,
            nesterov=False,
        )
        classes = count_classes(network, parts.fit)
        if classes > MOST_CLASSES:
            raise NotApplicableError(
                f"the network has {classes} classes; it searches towards {MOST_CLASSES} at most."
            )
        search = ShortcutSearch(parts.fit, self, classes)
        before, _ = search.found(network, torch.Generator().manual_seed(seed))
        if not len(before):
            raise NotApplicableError(
                f"no class is reached by one change of the pixels of size {self.radius:g}, so that "
                "there is no shortcut to close; another method may repair it."
            )
        watching = replace(search, watched=tuple(before.tolist()))
        objective = ShortcutLoss(taught_by(network, self.label_weight), watching)
        tuning = FineTuning(training, self.patience, self.recalibrate, self.rule.name)
        done = tuning.run(network, parts, seed=seed, stages=stages, objective=objective)
        after, _ = search.found(network, torch.Generator().manual_seed(seed))
        return done | {"reached_before": before.tolist(), "reached_after": after.tolist()}


@dataclass(frozen=True)
class ShortcutSearch:
    """The search of perturbations, one towards each class.

    Args:
        clean: images to search on.
        settings: of the search.
        classes: how many the network tells apart.
        watched: classes that count as reached in any case.
    """

    clean: CleanSet
    settings: UAPFT
    classes: int
    watched: tuple[int, ...] = ()

    def found(self, network: nn.Module, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Classes (G,) that are reached, and the perturbations (G, C, H, W) that reach them.

        Args:
            network: images in [0, 1] -> logits, in eval mode.
            generator: draws the images.
        """
        device = next(network.parameters()).device
        count = min(len(self.clean), self.settings.search_images)
        order = torch.randperm(len(self.clean), generator=generator)
        images = as_input(self.clean.images[order[:count]], device)
        at_once = max(1, images_at_once(network, images[:2]) // count)
        parts = [
            self._walked(network, images, heat)
            for heat in torch.arange(self.classes).split(at_once)
        ]
        reached, perturbations = zip(*parts, strict=True)
        return torch.cat(reached), torch.cat(perturbations)

    def _walked(self, network: nn.Module, images: Tensor, heat: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the classes ``heat`` that are reached or watched, and their perturbations."""
        settings = self.settings
        climb = Climb(
            (settings.radius,),
            settings.search_steps,
            towards=True,
            bf16=settings.bf16,
            what="uap-ft: searching shortcuts",
        )
        shown = images.repeat(len(heat), 1, 1, 1)
        targets = heat.repeat_interleave(len(images)).to(images.device)
        (perturbations,) = walk_pixels(network, shown, targets, climb, len(heat))
        with torch.no_grad():
            predicted = network(perturbed(shown, perturbations)).argmax(1)
        shares = (predicted == targets).view(len(heat), -1).float().mean(1).cpu()
        chosen = shares >= settings.wanted
        chosen |= torch.isin(heat, torch.tensor(self.watched, dtype=torch.int64))
        return heat[chosen], perturbations[chosen.to(images.device)]


class ShortcutLoss:
    """The loss on images as they are and, while a class is reached, on perturbed ones.

    Args:
        goal: what is to be answered, perturbed or not.
        search: of the perturbations, anew before each epoch.
    """

    optimizers: Sequence[Optimizer] = ()

    def __init__(self, goal: SoftLabels, search: ShortcutSearch) -> None:
        self._goal = goal
        self._search = search
        self._reached = torch.empty(0, dtype=torch.int64)
        self._perturbations = torch.empty(0)

    def begin_epoch(self, network: nn.Module) -> None:
        """Search the classes that are reached now."""
        self._reached, self._perturbations = self._search.found(network, torch.default_generator)

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch; only the images as they are reach the running statistics."""
        wanted = self._goal.targets(images, labels)
        plain = F.cross_entropy(network(images).float(), wanted)
        if not len(self._reached):
            return plain
        with statistics_kept(network):
            self._go_on(network, images)
            shown = self._perturbed(images, self._drawn(images), self._perturbations)
            error = F.cross_entropy(network(shown).float(), wanted)
        return plain + self._search.settings.perturbed_weight * error

    def _go_on(self, network: nn.Module, images: Tensor) -> None:
        """One more step of the search, towards the classes that were reached."""
        drawn = self._drawn(images)
        leaf = self._perturbations.detach().requires_grad_()
        logits = network(self._perturbed(images, drawn, leaf)).float()
        towards = self._reached.to(images.device)[drawn]
        (slope,) = torch.autograd.grad(F.cross_entropy(logits, towards, reduction="sum"), leaf)
        radius = self._search.settings.radius
        moved = leaf.detach() - self._search.settings.stride * radius * normalised(slope)
        self._perturbations = within(moved, radius)

    def _drawn(self, images: Tensor) -> Tensor:
        """For each image (N,) which of the perturbations it gets."""
        return torch.randint(len(self._reached), (len(images),)).to(images.device)

    @staticmethod
    def _perturbed(images: Tensor, drawn: Tensor, perturbations: Tensor) -> Tensor:
        return (images + perturbations[drawn]).clamp(0, 1)
