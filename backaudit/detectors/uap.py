"""UAP: does a far smaller change of the pixels send any image to one class than to any other?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError, SettingError
from backaudit.core.evidence import Evidence, Rule
from backaudit.core.suspect import Suspect
from backaudit.detectors.calibration import calibrated
from backaudit.detectors.race import Race, line_up
from backaudit.nets.noise import Climb
from backaudit.nets.perturbation import perturbed, walk_pixels
from backaudit.nets.precision import fast_autocast


@dataclass(frozen=True)
class UAP:
    """Targeted universal adversarial perturbations, one for each class.

    A trigger is one change that sends any image to the target class. Such a change is searched for
    each class in turn, in a ball that grows from nothing. How large it must be depends on how
    robust the network is; but a benign network gives way towards its easiest classes at about the
    same size, and a backdoored one far sooner towards its target.

    Score: how many times larger a perturbation the runner-up needs than the class reached most
        easily, 1 upwards. Size is the root mean square over the pixels, and a class is reached when
        half of the held-out images of other classes go there.
    Needs: gradients with respect to the image; 50 clean images or more, at least 20; 3 to 100
        classes. No normalisation layer. Of 3 classes, and where the network gives more than a
        quarter of the images of other classes to one class by itself, the reading is held against
        no threshold.
    Blind to: all-to-all backdoors, and several backdoors of different targets (no class leads);
        backdoors that need a specific source class; triggers that differ from image to image or are
        no addition, such as warps, rotations and fewer colours; networks so easily fooled that the
        trigger is a larger change than any class needs; SIG and NARCISSUS, which keep the labels of
        what they poison, in every test network.
    Paper: none decides so. Universal perturbations are those of Moosavi-Dezfooli et al., CVPR 2017,
        https://arxiv.org/abs/1610.08401; that they come upon backdoors was shown by Xu et al.,
        Universal Soldier, 2023, https://arxiv.org/abs/2302.00747, who refine them into triggers and
        look for an outlier among their L1 norms. Here no trigger is restored.

    Args:
        budgets: root mean squares of the perturbation, rising, in [0, 1] units; two or more.
        steps: normalised gradient steps for each budget.
        wanted: share of the held-out images of other classes that must go to a class, in (0, 1).
        batch_size: clean images for each class's search.
        evaluation_images: held-out clean images, at most, that shares are measured on.
        bf16: whether to compute in bfloat16 where the device is fast at it.
    """

    rule: ClassVar[Rule] = Rule(
        "BA104",
        "uap",
        "Does a far smaller change of the pixels send any image to one class than to any other?",
    )

    budgets: tuple[float, ...] = (
        *(0.002, 0.0028, 0.004, 0.0057, 0.008, 0.0113, 0.016),
        *(0.0226, 0.032, 0.0453, 0.064, 0.0905, 0.128),
    )
    steps: int = 3
    wanted: float = 0.5
    batch_size: int = 48
    evaluation_images: int = 128
    bf16: bool = True

    def __post_init__(self) -> None:
        """Refuse budgets that no size can be told from, and a share that means nothing."""
        rising = all(low < high for low, high in pairwise((0.0, *self.budgets)))
        if len(self.budgets) < 2 or not rising:
            raise SettingError("uap.budgets are two numbers or more, rising from above 0")
        if not 0 < self.wanted < 1:
            raise SettingError(f"uap.wanted is a share between 0 and 1, not {self.wanted:g}")

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        """Search perturbations on one half of the clean images, measure shares on the other.

        Raises:
            NotApplicableError: if there are too few clean images, too few or too many classes, or
                no class is reached: a network may hide its gradients.
        """
        race = line_up(
            suspect, clean, batch_size=self.batch_size, evaluation_images=self.evaluation_images
        )
        courses: list[Tensor] = []
        for heat in race.heats:
            courses.append(torch.stack(list(self._course(suspect, race, heat, courses))))
        if not any(bool((course >= self.wanted).any()) for course in courses):
            raise NotApplicableError("no class can be reached; there are no sizes to compare.")
        needed = torch.cat([sizes_needed(each, self.budgets, self.wanted) for each in courses])
        first, second = needed.topk(2, largest=False).values.tolist()
        return calibrated(
            self.rule,
            second / first,
            target_classes=(int(needed.argmin()),),
            unlike=race.unlike,
            measurements={
                "per_class": (needed.min() / needed).tolist(),
                "size_needed": needed.tolist(),
                "shares": [each.tolist() for each in courses],
                "searched_on": len(race.images),
                "measured_on": len(race.shown),
            },
        )

    def _course(
        self, suspect: Suspect, race: Race, heat: Tensor, earlier: Sequence[Tensor]
    ) -> Iterator[Tensor]:
        """Share (G,) of held-out images of other classes that reach each of ``heat``, by budget.

        It ends when two are there, of this heat and the ``earlier`` ones together: no other of the
        heat can be among the first two of all.
        """
        what = f"uap: classes {int(heat[0])} to {int(heat[-1])}"
        climb = Climb(self.budgets, self.steps, towards=True, bf16=self.bf16, what=what)
        images, targets = race.repeated(heat)
        course: list[Tensor] = []
        for perturbation in walk_pixels(suspect.network, images, targets, climb, len(heat)):

            def changed(shown: Tensor, by: Tensor = perturbation) -> Tensor:
                with fast_autocast(suspect.device, wanted=self.bf16):
                    logits: Tensor = suspect.network(perturbed(shown, by))
                return logits

            course.append(race.reached(changed, heat))
            yield course[-1]
            so_far = [other[: len(course)] for other in (*earlier, torch.stack(course))]
            if sum(int((each >= self.wanted).any(0).sum()) for each in so_far) > 1:
                return


def sizes_needed(shares: Tensor, budgets: Sequence[float], wanted: float) -> Tensor:
    """The size (K,) at which each class has the wanted share, between two budgets interpolated.

    A class that never has it needs one step of the budgets more than was tried.

    Args:
        shares: (B, K) at the first B budgets.
        budgets: rising, in equal ratios.
        wanted: share, in (0, 1).
    """
    sizes = torch.tensor(budgets[: len(shares)]).log()
    step = float(torch.tensor(budgets[1] / budgets[0]).log())
    sizes = torch.cat([sizes[:1] - step, sizes, sizes[-1:] + step])
    # At the size before the first nobody was; at that after the last everybody counts as there.
    ends = torch.zeros(2, shares.shape[1])
    ends[1] = 1.0
    furthest = torch.cat([ends[:1], shares.cummax(0).values, ends[1:]])
    after = (furthest < wanted).sum(0)
    low, high = furthest.gather(0, (after - 1)[None])[0], furthest.gather(0, after[None])[0]
    part = ((wanted - low) / (high - low)).where(after <= len(shares), 1.0)
    return (sizes[after - 1] + part * (sizes[after] - sizes[after - 1])).exp()
