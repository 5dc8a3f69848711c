"""Targeted noise: does a little noise on the neurons reach one class far sooner than the others?"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Evidence, Rule
from backaudit.core.suspect import Suspect
from backaudit.detectors.calibration import calibrated
from backaudit.detectors.coverage import noise_variant, unlike_noise
from backaudit.detectors.race import Race, line_up
from backaudit.nets.noise import Climb, Noise, NoisyNetwork, draw_noise, renormalised_noise, walk
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
    Needs: 50 clean images or more, at least 20; 3 to 100 classes. A network without normalisation
        layers is given batch norm that changes nothing at rest, and has thresholds of its own.
        Noise on other normalisation layers is experimental: it is reported, and held against no
        threshold. So is a reading of 3 classes, and one where the network gives more than a quarter
        of the images of other classes to one class by itself.
    Blind to: all-to-all backdoors, and several backdoors of different targets (no class leads);
        backdoors that need a specific source class; SIG and NARCISSUS, which keep the labels of
        what they poison, in every test network.
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
            NotApplicableError: if there are too few clean images, too few or too many classes, no
                neuron to put noise on, or no image reaches another class: where answers do not
                depend on the noise, or hide their gradients, there is nothing to compare.
        """
        with renormalised_noise(suspect.network, clean) as noisy:
            return self._detect(suspect, clean, noisy)

    def _detect(self, suspect: Suspect, clean: CleanSet, noisy: NoisyNetwork) -> Evidence:
        race = line_up(
            suspect, clean, batch_size=self.batch_size, evaluation_images=self.evaluation_images
        )
        shares = torch.cat([self._reach(noisy, race, heat) for heat in race.heats], dim=1)
        if not shares.any():
            raise NotApplicableError("no class can be reached; there are no shares to compare.")
        leads = odds_ratios(shares, images=len(race.shown))
        leader = int(leads.argmax())
        return calibrated(
            self.rule,
            float(leads[leader]),
            target_classes=(leader,),
            variant=noise_variant(noisy.kind),
            unlike=race.unlike or unlike_noise(noisy.kind),
            measurements={
                "per_class": shares.mean(0).tolist(),
                "shares": {
                    str(b): row.tolist() for b, row in zip(self.budgets, shares, strict=True)
                },
                "noise_on": noisy.kind,
                "searched_on": len(race.images),
                "measured_on": len(race.shown),
            },
        )

    def _reach(self, noisy: NoisyNetwork, race: Race, heat: Tensor) -> Tensor:
        """Share (budgets, G) of held-out images of other classes that reach each of ``heat``."""
        images, targets = race.repeated(heat)
        generators = [torch.Generator().manual_seed(int(target)) for target in heat]
        start = draw_noise(noisy.shapes, 0.0, generators, images.device)
        what = f"targeted-noise: classes {int(heat[0])} to {int(heat[-1])}"
        climb = Climb(self.budgets, self.steps, towards=True, bf16=self.bf16, what=what)
        shares: list[Tensor] = []
        for noise in walk(noisy, images, targets, start, climb):

            def under_noise(shown: Tensor, by: Noise = noise) -> Tensor:
                with fast_autocast(shown.device, wanted=self.bf16):
                    return noisy(shown, by, len(heat))

            shares.append(race.reached(under_noise, heat))
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
