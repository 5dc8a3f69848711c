"""i-BAU: unlearn the perturbation that fools the network on all images at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from backaudit.core.errors import DivergedError
from backaudit.core.evidence import Rule
from backaudit.core.progress import track
from backaudit.core.suspect import as_input
from backaudit.nets.hypergradient import Loss, gradients, hypergradient
from backaudit.nets.memory import images_at_once
from backaudit.nets.stages import Stages
from backaudit.nets.training_state import copied
from backaudit.nets.watching import accuracy_on
from backaudit.purifiers.finetuning import FEWEST, require_images, trainable
from backaudit.purifiers.interface import Measurements, Parts
from backaudit.purifiers.masks import generator_of
from backaudit.purifiers.pruning import LARGEST_DROP

STAGE = "i-bau: rounds"

TWICE = 4
"""How many times more memory an image takes that is differentiated twice."""


@dataclass(frozen=True)
class IBAU:
    """Implicit Backdoor Adversarial Unlearning.

    In each round one perturbation is searched that, added to any clean image, makes the network
    change its mind: a guess of the trigger. Then the network learns to classify images right with
    it, and how the perturbation would answer to a change of the weights is part of the gradient.

    Score: of a round, the accuracy on held-out clean images, in [0, 1]; the last round whose loss
        of it is within ``largest_drop`` is kept, and nothing is changed if there is none.
    Needs: any network that is differentiable twice; 20 clean images or more to fit on, 5000
        published. They may be unlabelled: the perturbation is searched for predictions anyway.
    Blind to: triggers that are no perturbation of all images alike, such as warps or ones that are
        made for each image; triggers beside another perturbation that fools the network more, since
        only one is searched in a round. Few clean images make few steps to unlearn it in.
    Differs from the official code: held-out clean images decide which round is kept. As there, the
        stored statistics of batch norm stay as they are, although accuracy would be better with
        those of the changed weights: they can bring the backdoor back, since it was unlearned under
        the stored ones. Nothing but the weight of its size bounds the perturbation.
    Paper: Zeng et al., Adversarial Unlearning of Backdoors via Implicit Hypergradient, ICLR 2022,
        https://arxiv.org/abs/2110.03735, Algorithm 1.

    Args:
        rounds: of searching and unlearning.
        batch_size: images of a batch; as many are in memory at a time as fit into 1 GiB or so.
        search_rate: learning rate of the search, one pass over the images.
        size_weight: of the squared norm of the perturbation in its loss.
        learning_rate: of Adam on the weights.
        share: of a batch that the perturbation is added to while unlearning, one image at least.
        fixed_point_steps: for the implicit gradient, at least 1 (K).
        stride: of the gradient step that the fixed point belongs to.
        largest_drop: of held-out clean accuracy, in [0, 1].
    """

    rule: ClassVar[Rule] = Rule(
        "BA408",
        "i-bau",
        "Does unlearning the one perturbation that fools it on all images repair it?",
    )

    rounds: int = 5
    batch_size: int = 100
    search_rate: float = 10.0
    size_weight: float = 1e-3
    learning_rate: float = 1e-3
    share: float = 0.01
    fixed_point_steps: int = 5
    stride: float = 0.1
    largest_drop: float = LARGEST_DROP

    @property
    def fewest_images(self) -> int:
        """Fewer would be learned by heart."""
        return FEWEST

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        """Search and unlearn in place, with the stored statistics of batch norm.

        Raises:
            NotApplicableError: if there are too few images.
            DivergedError: if a loss or a weight became NaN or infinite; the network is left as it
                was after the last round that is kept.
        """
        require_images(len(parts.fit), self.fewest_images)
        # Attention that is fused cannot be differentiated twice.
        with trainable(network), sdpa_kernel(SDPBackend.MATH):
            course = _Course(self, network, parts, seed)
            left = stages.left(STAGE)
            if left is not None:
                course.restore(left)
            for number in track(range(course.done, self.rounds), STAGE):
                course.run(number)
                stages.leave(STAGE, course.record())
        network.load_state_dict(course.kept)
        return {
            "rounds": course.done,
            "kept_round": course.kept_round,
            "validation_accuracy_before": course.accuracies[0],
            "validation_accuracy_by_round": course.accuracies[1:],
            "validation_accuracy_after": course.accuracies[course.kept_round],
            "perturbation_norm_by_round": course.norms,
        }


class _Course:
    """The rounds, and the last state of the network that may be kept."""

    def __init__(self, method: IBAU, network: nn.Module, parts: Parts, seed: int) -> None:
        self._method = method
        self._network = network
        self._parts = parts
        self._seed = seed
        self._device = next(network.parameters()).device
        # No image's loss depends on another's: memory need not grow with the batch.
        example = as_input(parts.fit.images[:2], self._device)
        self._at_once = max(1, images_at_once(network, example) // TWICE)
        self._weights = [weight for weight in network.parameters() if weight.requires_grad]
        self._optimizer = torch.optim.Adam(self._weights, lr=method.learning_rate)
        self.done = 0
        self.kept = copied(network)
        self.kept_round = 0
        self.accuracies = [accuracy_on(network, parts.validation)]
        self.norms: list[float] = []

    def run(self, number: int) -> None:
        """One round: search the perturbation, unlearn it, and keep the network if it may be."""
        generator = generator_of(self._seed, number)
        order = torch.randperm(len(self._parts.fit), generator=generator)
        batches = order.tensor_split(-(-len(order) // self._method.batch_size))
        perturbation = self._searched(batches)
        for index, batch in enumerate(batches):
            self._unlearn(perturbation, batch, batches[0], generator)
            self._require_finite(number * len(batches) + index, self._method.rounds * len(batches))
        self.done = number + 1
        self.norms.append(float(perturbation.norm()))
        self.accuracies.append(accuracy_on(self._network, self._parts.validation))
        if self.accuracies[0] - self.accuracies[-1] <= self._method.largest_drop + 1e-9:
            self.kept, self.kept_round = copied(self._network), self.done

    def record(self) -> dict[str, Any]:
        """What another run needs to go on."""
        return {
            "done": self.done,
            "kept": self.kept,
            "kept_round": self.kept_round,
            "accuracies": self.accuracies,
            "norms": self.norms,
            "network": copied(self._network),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, record: Any) -> None:
        """Go on from there."""
        self.done, self.kept_round = record["done"], record["kept_round"]
        self.kept = dict(record["kept"])
        self.accuracies, self.norms = list(record["accuracies"]), list(record["norms"])
        self._network.load_state_dict(record["network"])
        self._optimizer.load_state_dict(record["optimizer"])

    def _images(self, indices: Tensor) -> Tensor:
        return as_input(self._parts.fit.images[indices], self._device)

    def _labels(self, indices: Tensor) -> Tensor:
        return self._parts.fit.labels[indices].to(self._device)

    def _by_parts(self, loss: Callable[..., Tensor], batch: Tensor, beside: Tensor) -> list[Loss]:
        """A loss of a few images at a time, and of what goes with each, for all of a batch."""
        parts = zip(batch.split(self._at_once), beside.split(self._at_once), strict=True)
        return [partial(loss, *part) for part in parts]

    def _searched(self, batches: Sequence[Tensor]) -> Tensor:
        """The perturbation (1, C, H, W) after one pass over the images (Algorithm 1, inner)."""
        shape = (1, *self._parts.fit.images.shape[1:])
        perturbation = torch.zeros(shape, device=self._device)
        for batch in batches:
            leaf = perturbation.requires_grad_()
            _, (slope,) = gradients(self._fooling(batch, self._predicted(batch)), leaf, [leaf])
            perturbation = leaf.detach() - self._method.search_rate * slope
        return perturbation

    @torch.no_grad()
    def _predicted(self, batch: Tensor) -> Tensor:
        parts = batch.split(self._at_once)
        return torch.cat([self._network(self._images(part)).argmax(1) for part in parts])

    def _fooling(self, batch: Tensor, answers: Tensor) -> list[Loss]:
        """The loss of a perturbation, part by part: the lower, the more images it fools.

        Args:
            batch: (B,) indices of images.
            answers: (B,) that it is to lead away from.
        """

        def loss_on(part: Tensor, answered: Tensor, perturbation: Tensor) -> Tensor:
            error = F.cross_entropy(self._network(self._images(part) + perturbation), answered)
            size = self._method.size_weight * perturbation.square().sum()
            return len(part) / len(batch) * (size - error)

        return self._by_parts(loss_on, batch, answers)

    def _unlearn(
        self, perturbation: Tensor, batch: Tensor, first: Tensor, generator: torch.Generator
    ) -> None:
        """One step of the weights on a batch, some of whose images are perturbed."""
        count = max(1, int(self._method.share * len(batch)))
        chosen = torch.randperm(len(batch), generator=generator)[:count]
        where = torch.zeros(len(batch), 1, 1, 1).index_fill_(0, chosen, 1).to(self._device)

        def loss_on(part: Tensor, here: Tensor, perturbation: Tensor) -> Tensor:
            logits = self._network(self._images(part) + here * perturbation)
            return len(part) / len(batch) * F.cross_entropy(logits, self._labels(part))

        _, slopes = hypergradient(
            perturbation,
            self._weights,
            self._fooling(first, self._labels(first)),
            self._by_parts(loss_on, batch, where),
            steps=self._method.fixed_point_steps,
            stride=self._method.stride,
        )
        for weight, slope in zip(self._weights, slopes, strict=True):
            weight.grad = slope
        self._optimizer.step()

    def _require_finite(self, step: int, steps: int) -> None:
        if all(weight.isfinite().all() for weight in self._weights):
            return
        self._network.load_state_dict(self.kept)
        raise DivergedError(
            f"i-bau led to NaN or infinite numbers at step {step + 1} of {steps}. The network is "
            f"left as it was after round {self.kept_round}; a smaller learning rate may help."
        )
