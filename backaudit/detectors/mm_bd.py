"""MM-BD: can one class be predicted with a far larger margin than any other?"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Evidence, Rule
from backaudit.core.progress import track
from backaudit.core.suspect import Suspect
from backaudit.detectors.calibration import calibrated
from backaudit.nets.memory import images_at_once

MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class MMBD:
    """MM-BD: Post-Training Detection of Backdoor Attacks Using a Maximum Margin Statistic.

    For each class, images are searched, from random starts, that the network assigns to that class
    by the largest possible margin over every other. A backdoor teaches its target class to overrule
    all others, so that class reaches a margin that stands out. No clean image is needed.

    Score: lead of the largest per-class margin over the second largest, in robust standard
        deviations of the margins (median absolute deviation), 0 upwards.
    Needs: gradients with respect to the image; 4 to 100 classes.
    Blind to: all-to-all backdoors (no class stands out); networks whose classes differ widely
        anyway; several targets at once.
    Differs from the official code: Adam with a cosine schedule in place of 300 plain gradient
        steps; all classes and starts in one batch; the lead of the largest margin decides, not the
        p-value of a Gamma distribution fitted to the other K - 1 margins, which calls benign
        networks backdoored, nor its distance from the median, which a second large margin of a
        benign network inflates as well.
    Paper: Wang et al., IEEE S&P 2024, https://arxiv.org/abs/2205.06900, section IV.

    Args:
        starts: random images to start from, for each class.
        steps: of the search.
        learning_rate: largest step of a pixel, in [0, 1] units.
    """

    rule: ClassVar[Rule] = Rule(
        "BA102",
        "mm-bd",
        "Is one class far easier to force on any image than the others?",
    )

    starts: int = 10
    steps: int = 100
    learning_rate: float = 0.05

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        """Compare the largest margins of the classes; ``clean`` is not used.

        Raises:
            NotApplicableError: if there are too few classes to compare.
        """
        del clean
        if not 4 <= suspect.num_classes <= 100:
            raise NotApplicableError(
                f"the network has {suspect.num_classes} classes; it compares 4 to 100."
            )
        margins = self._largest_margins(suspect)
        scores = robust_scores(margins)
        first, second = scores.topk(2).values.tolist()
        return calibrated(
            self.rule,
            first - second,
            target_classes=(int(scores.argmax()),),
            measurements={"margins": margins.tolist(), "per_class": scores.tolist()},
        )

    def _largest_margins(self, suspect: Suspect) -> Tensor:
        """Largest margin (K,) of each class over all starts."""
        starts = torch.rand(self.starts, *suspect.image_shape)
        at_once = images_at_once(suspect.network, starts[:2].to(suspect.device))
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
        for _ in track(range(self.steps), what):
            margin = _margin(suspect.network(images).float(), classes)
            largest = torch.maximum(largest, margin.detach())
            (images.grad,) = torch.autograd.grad(-margin.sum(), images)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                images.clamp_(0, 1)
        return largest.cpu()


def robust_scores(margins: Tensor) -> Tensor:
    """Distance (K,) of each value from the median, in robust standard deviations.

    The deviation is not allowed below 5 % of the median's size: with few classes the median
    absolute deviation can come out near zero by chance.
    """
    median = margins.median()
    spread = MAD_TO_SIGMA * (margins - median).abs().median()
    return (margins - median) / torch.maximum(spread, 0.05 * median.abs()).clamp(min=1e-6)


def _margin(logits: Tensor, classes: Tensor) -> Tensor:
    own = logits.gather(1, classes[:, None]).squeeze(1)
    others = logits.scatter(1, classes[:, None], -torch.inf)
    return own - others.amax(1)
