"""MM-BD: can one class be predicted with a far larger margin than any other?"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Evidence, Rule
from backaudit.core.progress import track
from backaudit.core.suspect import Suspect
from backaudit.detectors.calibration import calibrated
from backaudit.nets.memory import images_at_once
from backaudit.nets.normalised import LogProbabilities
from backaudit.nets.precision import fast_autocast

MAD_TO_SIGMA = 1.4826
LARGEST_RATIO = 100.0
# Probabilities below the smallest number have no logarithm, and no gradient.
CEILING = -math.log(torch.finfo(torch.float32).tiny)


@dataclass(frozen=True)
class MMBD:
    """MM-BD: Post-Training Detection of Backdoor Attacks Using a Maximum Margin Statistic.

    For each class, images are searched, from random starts, that the network assigns to that class
    by the largest possible margin over every other. A backdoor teaches its target class to overrule
    all others, so that class reaches a margin that stands out. No clean image is needed.

    Score: largest per-class margin divided by the second largest, 1 to 100.
    Needs: gradients with respect to the image; 4 to 100 classes; logits, or probabilities that are
        not rounded to zero.
    Blind to: all-to-all backdoors (no class stands out); networks whose classes differ widely
        anyway; several targets at once; SIG and NARCISSUS, which keep the labels of what they
        poison, in every test network.
    Differs from the official code: Adam with a cosine schedule in place of 300 plain gradient
        steps; all classes and starts in one batch; the ratio of the two largest margins decides,
        not the p-value of a Gamma distribution fitted to the other K - 1 margins, which is fragile
        with few classes; nor the distance from the median in robust deviations, which reaches as
        high on benign networks as on backdoored ones.
    Paper: Wang et al., IEEE S&P 2024, https://arxiv.org/abs/2205.06900, section IV.

    Args:
        starts: random images to start from, for each class.
        steps: of the search.
        learning_rate: largest step of a pixel, in [0, 1] units.
        bf16: whether to search in bfloat16 where the device is fast at it.
    """

    rule: ClassVar[Rule] = Rule(
        "BA102",
        "mm-bd",
        "Is one class far easier to force on any image than the others?",
    )

    starts: int = 8
    steps: int = 80
    learning_rate: float = 0.05
    bf16: bool = True

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        """Compare the largest margins of the classes; ``clean`` is not used.

        Raises:
            NotApplicableError: if there are too few or too many classes to compare, margins have a
                ceiling, or the network gives no gradient: then margins are those of the starts.
        """
        del clean
        if not 4 <= suspect.num_classes <= 100:
            raise NotApplicableError(
                f"the network has {suspect.num_classes} classes; it compares 4 to 100."
            )
        margins = self._largest_margins(suspect)
        first, second = margins.topk(2).values.tolist()
        if first > 0.99 * CEILING and _reads_probabilities(suspect.network):
            raise NotApplicableError(
                "the network answers with probabilities, which are rounded to zero; that bounds "
                "the margins."
            )
        if first <= 0:
            raise NotApplicableError("no class can be reached; there are no margins to compare.")
        return calibrated(
            self.rule,
            # A target that overrules all other classes everywhere leaves them no margin at all.
            first / max(second, first / LARGEST_RATIO),
            target_classes=(int(margins.argmax()),),
            measurements={
                "per_class": margins.tolist(),
                "robust_score": robust_score(margins),
            },
        )

    def _largest_margins(self, suspect: Suspect) -> Tensor:
        """Largest margin (K,) of each class over all starts."""
        starts = torch.rand(self.starts, *suspect.image_shape)
        answers = suspect.logits(starts)
        if bool(((answers >= 0) & (answers <= 1)).all()):
            raise NotApplicableError(
                "all scores lie between 0 and 1, as a sigmoid gives them; that bounds the margins."
            )
        example = torch.zeros(2, *suspect.image_shape, device=suspect.device)
        at_once = images_at_once(suspect.network, example)
        jobs = torch.cartesian_prod(torch.arange(suspect.num_classes), torch.arange(self.starts))
        margins = [
            self._climb(suspect, part[:, 0].to(suspect.device), starts[part[:, 1]])
            for part in jobs.split(at_once)
        ]
        return torch.cat(margins).view(suspect.num_classes, self.starts).amax(1)

    def _climb(self, suspect: Suspect, classes: Tensor, images: Tensor) -> Tensor:
        """Largest margin (B,) of each of ``classes`` (B,) met while climbing from ``images``."""
        images = images.to(suspect.device).requires_grad_()
        optimizer = torch.optim.Adam([images], lr=self.learning_rate, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        largest = torch.full((len(images),), -torch.inf, device=images.device)
        what = f"mm-bd: classes {int(classes[0])} to {int(classes[-1])}"
        for step in track(range(self.steps), what):
            with fast_autocast(suspect.device, wanted=self.bf16):
                logits = suspect.network(images)
            margin = _margin(logits.float(), classes)
            largest = torch.maximum(largest, margin.detach())
            (images.grad,) = torch.autograd.grad(-margin.sum(), images)
            if step == 0 and not bool(images.grad.any()):
                raise NotApplicableError("no class can be reached: the network gives no gradient.")
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                images.clamp_(0, 1)
        return largest.cpu()


def _reads_probabilities(network: nn.Module) -> bool:
    return any(isinstance(module, LogProbabilities) for module in network.modules())


def robust_score(margins: Tensor) -> float:
    """Distance of the largest margin (K,) from the median, in median absolute deviations."""
    median = margins.median()
    spread = MAD_TO_SIGMA * (margins - median).abs().median()
    return float((margins.max() - median) / spread.clamp(min=1e-6))


def _margin(logits: Tensor, classes: Tensor) -> Tensor:
    own = logits.gather(1, classes[:, None]).squeeze(1)
    others = logits.scatter(1, classes[:, None], -torch.inf)
    return own - others.amax(1)
