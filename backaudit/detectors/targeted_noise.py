"""Targeted noise: does a little noise on the neurons reach one class far sooner than the others?"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Evidence, Rule
from backaudit.core.suspect import Suspect, as_input
from backaudit.detectors.calibration import calibrated
from backaudit.detectors.halves import halves
from backaudit.nets.memory import FORWARD_ONLY, images_at_once
from backaudit.nets.noise import Climb, NoisyNetwork, draw_noise, noisy_network, walk
from backaudit.nets.precision import fast_autocast


@dataclass(frozen=True)
class TargetedNoise:
    """Neuron noise towards each class in turn: a targeted form of BAN.

    BAN searches the noise that hurts most, and in a robust network that is the noise along its
    natural confusions. Here the noise is searched once for each class, to send every clean image of
    the other classes there. A backdoor is a shortcut that the network already has: its target class
    is reached by noise that is too small for any other.

    Score: odds with which a clean image of another class reaches the class reached most easily,
        divided by those of the runner-up, pooled over noise budgets (Mantel-Haenszel), 1 upwards.
    Needs: batch-norm layers; 50 clean images or more, at least 20; 3 to 100 classes. Without batch
        norm the noise goes on other normalisation layers, else on convolutions and linear layers,
        which is experimental: it is reported, and held against no threshold.
    Blind to: all-to-all backdoors, and several backdoors of different targets (no class leads);
        backdoors that need a specific source class.
    Paper: none; the noise is that of BAN (Xu et al., NeurIPS 2024, https://arxiv.org/abs/2405.19928,
        Eq. 3), minimising the cross-entropy to a target class in place of Eq. 4.

    Args:
        budgets: noise budgets, rising, relative to each parameter (epsilon).
        steps: sign-gradient steps for each budget.
        batch_size: clean images for each class's search.
        evaluation_images: held-out clean images, at most, that shares are measured on.
        bf16: whether to search in bfloat16 where the device is fast at it.
    """

    rule: ClassVar[Rule] = Rule(
        "BA103",
        "targeted-noise",
        "Does a little noise inside the network reach one class far sooner than the others?",
    )

    budgets: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4)
    steps: int = 4
    batch_size: int = 48
    evaluation_images: int = 128
    bf16: bool = True

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        """Search noise on one half of the clean images, measure shares on the other.

        Raises:
            NotApplicableError: if there are too few clean images, too few or too many classes, or
                no neuron to put noise on.
        """
        fit, held_out = halves(clean)
        if not 3 <= suspect.num_classes <= 100:
            raise NotApplicableError(
                f"the network has {suspect.num_classes} classes; it compares 3 to 100."
            )
        noisy = noisy_network(suspect.network)
        generator = torch.Generator().manual_seed(torch.initial_seed())
        at_once = images_at_once(suspect.network, as_input(fit.images[:2], suspect.device))
        size = min(len(held_out), self.evaluation_images, FORWARD_ONLY * at_once)
        shown = held_out.take(held_out.balanced(size, generator))
        chosen = fit.balanced(min(len(fit), self.batch_size, at_once), generator)
        images = as_input(fit.images[chosen], suspect.device)
        parts = torch.arange(suspect.num_classes).split(max(1, at_once // len(images)))
        reached = [self._reach(suspect, noisy, images, shown, part) for part in parts]
        shares = torch.cat(reached, dim=1)
        leads = odds_ratios(shares, images=len(shown))
        leader = int(leads.argmax())
        return calibrated(
            self.rule,
            float(leads[leader]),
            target_classes=(leader,),
            experimental=noisy.kind != "batch-norm",
            measurements={
                "per_class": shares.mean(0).tolist(),
                "shares": {
                    str(b): row.tolist() for b, row in zip(self.budgets, shares, strict=True)
                },
                "noise_on": noisy.kind,
            },
        )

    def _reach(
        self,
        suspect: Suspect,
        noisy: NoisyNetwork,
        images: Tensor,
        shown: CleanSet,
        targets: Tensor,
    ) -> Tensor:
        """Share (budgets, G) of ``shown`` images of other classes that reach each target (G,)."""
        groups, device = len(targets), suspect.device
        generators = [torch.Generator().manual_seed(int(target)) for target in targets]
        start = draw_noise(noisy.shapes, 0.0, generators, device)
        labels = targets.repeat_interleave(len(images)).to(device)
        what = f"targeted-noise: classes {int(targets[0])} to {int(targets[-1])}"
        climb = Climb(self.budgets, self.steps, towards=True, bf16=self.bf16, what=what)
        evaluated = as_input(shown.images, device).repeat(groups, 1, 1, 1)
        shares: list[Tensor] = []
        for noise in walk(noisy, images.repeat(groups, 1, 1, 1), labels, start, climb):
            with torch.no_grad(), fast_autocast(device, wanted=self.bf16):
                predicted = noisy(evaluated, noise, groups).argmax(1).cpu().view(groups, -1)
            shares.append(_shares_of_others(predicted, targets, shown.labels))
        return torch.stack(shares)


def odds_ratios(shares: Tensor, images: int) -> Tensor:
    """Odds ratio (K,) of each class against the class that comes closest to it.

    Args:
        shares: (budgets, K) share of images that reach each class.
        images: number of images behind each share; half of one keeps the ratio finite.
    """
    reached = (shares * images + 0.5) / (images + 1)
    wins = torch.einsum("bi,bj->ij", reached, 1 - reached)
    ratios = wins / wins.T
    return ratios.fill_diagonal_(torch.inf).amin(1)


def _shares_of_others(predicted: Tensor, targets: Tensor, labels: Tensor) -> Tensor:
    """Share (G,) of images of other classes that are predicted (G, M) as each group's target."""
    others = labels[None] != targets[:, None]
    hit = (predicted == targets[:, None]) & others
    return hit.sum(1) / others.sum(1).clamp(min=1)
