"""BAN: does adversarial noise on the neurons push every image towards one class?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Evidence, Rule
from backaudit.core.suspect import Suspect, as_input, batch_size
from backaudit.detectors.calibration import calibrated
from backaudit.detectors.coverage import noise_variant, unlike_answers, unlike_noise
from backaudit.detectors.halves import halves
from backaudit.detectors.shares import (
    at_damage,
    damage_done,
    drawn_from_all,
    leader,
    shares_of_others,
    source_classes,
)
from backaudit.nets.decoupling import Decoupling
from backaudit.nets.features import LinearHead, linear_head
from backaudit.nets.memory import FORWARD_ONLY, images_at_once
from backaudit.nets.noise import Climb, Noise, NoisyNetwork, draw_noise, renormalised_noise, walk

# Bytes of features that the mask is learned on: it is only reported, and needs no more images.
MASK_BYTES = 1 << 27


@dataclass(frozen=True)
class BAN:
    """BAN: Detecting Backdoors Activated by Adversarial Neuron Noise.

    Small noise on the network's neurons is searched that makes it misclassify clean images. The
    neurons of a backdoor give way first: whatever the image, the prediction goes to the target
    class. In a benign network it scatters, and differs from one search to the next.

    Score: how evenly one class draws the mistakes of all other classes, averaged over restarts (an
        accidental collapse lands on another class each time), where the noise makes about two
        thirds of predictions wrong; 0 is chance, 1 is every mistake of every class.
    Needs: 50 clean images or more, at least 20. A network without normalisation layers is given
        batch norm that changes nothing at rest, and has thresholds of its own, for batch norm that
        was folded away as for none. Noise on other normalisation layers is experimental: it is
        reported, and held against no threshold. So is a reading where the noise breaks too little,
        or where the network gives more than a quarter of the clean images of other classes to one
        class by itself.
    Blind to: all-to-all backdoors and backdoors that need a specific source class, of which the
        per-source-class shares only give a hint; triggers that leave hardly a trace in the
        normalisation layers, such as some warps in narrow networks; SIG and NARCISSUS, which keep
        the labels of what they poison, in every test network; attacks where there are dozens of
        classes and few images of each: with 43 classes and 200 images it saw none of two.
    Differs from the official code: it prints accuracies and has no decision rule, so this one is
        ours; several restarts in place of one; one walk through growing noise budgets in place of a
        fixed one; noise clipped to its budget; batch statistics of clean images, the stored ones
        neither used nor changed; every share is balanced over true classes; the mask is learned
        once on cached features, and only its gain over the mask without noise is reported, because
        on networks with few features the mask alone collapses benign networks too.
    Paper: Xu et al., NeurIPS 2024, https://arxiv.org/abs/2405.19928, Eq. 3 to 6.

    Args:
        restarts: independent searches.
        budgets: noise budgets, rising, relative to each parameter (epsilon).
        damage: share of wrong predictions at which the score is read, in (0, 1); larger budgets
            are then left out.
        steps: sign-gradient steps for each budget.
        batch_size: clean images for each search.
        evaluation_images: held-out clean images, at most, that shares are measured on.
        mask_weight: of the mask's size in its loss (lambda_1).
        mask_steps: of Adam on the mask.
        mask_learning_rate: of Adam on the mask.
        batch_statistics: whether batch-norm layers use the statistics of the clean images. With the
            stored ones, benign and backdoored networks collapse alike; for comparison only.
        bf16: whether to search in bfloat16 where the device is fast at it.
    """

    rule: ClassVar[Rule] = Rule(
        "BA101",
        "ban",
        "Does a little noise inside the network push every image towards one class?",
    )

    restarts: int = 4
    budgets: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
    damage: float = 0.65
    steps: int = 6
    batch_size: int = 128
    evaluation_images: int = 256
    mask_weight: float = 0.75
    mask_steps: int = 400
    mask_learning_rate: float = 0.01
    batch_statistics: bool = True
    bf16: bool = True

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        """Search noise on one half of the clean images, measure shares on the other.

        Raises:
            NotApplicableError: if there are too few clean images, no two classes, or no neuron to
                put noise on.
        """
        if suspect.num_classes < 2:
            raise NotApplicableError("the network has one class; nothing can be mistaken.")
        with renormalised_noise(
            suspect.network, clean, batch_statistics=self.batch_statistics
        ) as noisy:
            return self._detect(suspect, clean, noisy)

    def _detect(self, suspect: Suspect, clean: CleanSet, noisy: NoisyNetwork) -> Evidence:
        fit, held_out = halves(clean)
        generator = torch.Generator().manual_seed(torch.initial_seed())
        at_once = images_at_once(suspect.network, as_input(fit.images[:2], suspect.device))
        size = min(len(held_out), self.evaluation_images, FORWARD_ONLY * at_once)
        shown = held_out.take(held_out.balanced(size, generator))
        probe = _Probe(noisy, shown, suspect, self._split_head(suspect, fit, generator))
        silence = draw_noise(noisy.shapes, 0.0, [generator], suspect.device)
        baseline = probe.confusions(silence)
        parts = list(self._search(probe, fit, at_once, generator))
        reached = min(map(len, parts))
        plain, masked = torch.cat([part[:reached] for part in parts], dim=2).unbind(1)
        budgets = self.budgets[:reached]
        broken = [at_damage(restart, self.damage) for restart in plain.unbind(1)]
        drawn = drawn_from_all(torch.stack(broken).mean(0))
        target = int(drawn.argmax())
        damage = damage_done(plain).mean(1).tolist()
        return calibrated(
            self.rule,
            float(drawn[target]),
            target_classes=(target,),
            variant=noise_variant(noisy.kind),
            unlike=unlike_noise(noisy.kind) or self._unlike(probe, max(damage)),
            measurements={
                "noise_on": noisy.kind,
                "per_class": drawn.tolist(),
                "damage": damage,
                "by_budget": _by_budget(budgets, plain),
                "without_noise": leader(baseline[0]),
                "source_classes": source_classes(plain[-1]),
                "mask": _mask_gain(budgets, masked, baseline[1])
                if probe.split
                else "the logits do not come from a linear layer over features",
            },
        )

    def _unlike(self, probe: "_Probe", damage: float) -> str:
        """What sets the reading apart from those of benign models; empty if nothing does.

        Args:
            probe: of the suspect.
            damage: share of wrong predictions under the noise.
        """
        if damage < self.damage:
            return f"the noise makes {damage:.0%} of predictions wrong, not {self.damage:.0%}"
        # As it is, by its own statistics: under those of a batch even a backdoor may show itself.
        predictions = probe.suspect.logits(probe.shown.images).argmax(1)
        wrong = float((predictions != probe.shown.labels).double().mean())
        if wrong >= self.damage:
            return f"{wrong:.0%} of predictions are wrong before there is any noise"
        return unlike_answers(predictions, probe.shown, probe.suspect.num_classes)

    def _split_head(
        self, suspect: Suspect, fit: CleanSet, generator: torch.Generator
    ) -> "_SplitHead | None":
        """Learn the mask on cached features, without noise; None if there is no linear head."""
        example = as_input(fit.images[:2], suspect.device)
        try:
            head = linear_head(suspect.network, example)
        except NotApplicableError:
            return None
        with torch.no_grad():
            _, two = head.capture(partial(suspect.network, example))
        most = min(len(fit), max(2, MASK_BYTES // two[0].nbytes))
        fit = fit.take(torch.linspace(0, len(fit) - 1, most).long())
        batches = fit.batches(batch_size(fit.images), suspect.device)
        with torch.no_grad():
            passes = [head.capture(partial(suspect.network, images))[1] for images, _ in batches]
        features = torch.cat(passes)
        decoupling = Decoupling(self.mask_weight, self.mask_steps, self.mask_learning_rate)
        mask = decoupling.learn(head, features, fit.labels.to(suspect.device), generator)
        return _SplitHead(head, 1 - mask)

    def _search(
        self, probe: "_Probe", fit: CleanSet, at_once: int, generator: torch.Generator
    ) -> Iterator[Tensor]:
        """Yield, for as many restarts as fit into memory, confusions (B, 2, R, K, K)."""
        noisy, device = probe.noisy, probe.suspect.device
        size = min(len(fit), self.batch_size, at_once)
        climb = Climb(self.budgets, self.steps, bf16=self.bf16, what="ban: searching noise")
        restarts = torch.arange(self.restarts).split(max(1, at_once // size))
        for part in restarts:
            draws = [torch.Generator().manual_seed(_seed(generator, int(r))) for r in part]
            chosen = fit.take(torch.cat([fit.balanced(size, draw) for draw in draws]))
            images, labels = as_input(chosen.images, device), chosen.labels.to(device)
            start = draw_noise(noisy.shapes, self.budgets[0], draws, device)
            yield torch.stack(
                list(self._until_broken(probe, walk(noisy, images, labels, start, climb)))
            )

    def _until_broken(self, probe: "_Probe", walked: Iterator[Noise]) -> Iterator[Tensor]:
        """Confusions (2, R, K, K) at each budget, until every restart has done its damage."""
        for noise in walked:
            confusions = probe.confusions(noise)
            yield confusions
            if bool((damage_done(confusions[0]) >= self.damage).all()):
                return


@dataclass(frozen=True)
class _SplitHead:
    """The linear head, and the negative mask (C, P) in front of it."""

    head: LinearHead
    negative_mask: Tensor


@dataclass(frozen=True)
class _Probe:
    """Measures what noise does to the predictions on held-out clean images."""

    noisy: NoisyNetwork
    shown: CleanSet
    suspect: Suspect
    split: _SplitHead | None

    @torch.no_grad()
    def confusions(self, noise: Noise) -> Tensor:
        """Confusion matrices (2, G, K, K) under noise of G groups: as it is, behind the mask.

        Row c is the distribution of the predictions for images of class c; zeros if there are none.
        """
        groups = len(next(iter(noise.values())))
        images = as_input(self.shown.images, self.suspect.device).repeat(groups, 1, 1, 1)

        def run() -> Tensor:
            return self.noisy(images, noise, groups)

        if self.split is None:
            logits = masked = run()
        else:
            logits, features = self.split.head.capture(run)
            masked = self.split.head.logits(features, self.split.negative_mask)
        return torch.stack([self._confusion(part, groups) for part in (logits, masked)])

    def _confusion(self, logits: Tensor, groups: int) -> Tensor:
        predicted = logits.argmax(1).cpu().view(groups, -1)
        labels, classes = self.shown.labels, self.suspect.num_classes
        counts = torch.zeros(groups, classes, classes)
        group = torch.arange(groups)[:, None].expand_as(predicted)
        truth = labels.expand_as(predicted)
        counts.index_put_((group, truth, predicted), torch.ones(()), accumulate=True)
        return counts / counts.sum(2, keepdim=True).clamp(min=1)


def _by_budget(budgets: Sequence[float], confusions: Tensor) -> dict[str, dict[str, Any]]:
    return {str(budget): leader(part) for budget, part in zip(budgets, confusions, strict=True)}


def _mask_gain(budgets: Sequence[float], masked: Tensor, baseline: Tensor) -> dict[str, Any]:
    """What the negative mask shows with noise, beyond what it shows without (see BAN Figure 2)."""
    alone = shares_of_others(baseline).mean(0)
    gains = {
        str(budget): float((shares_of_others(part).mean(0) - alone).max())
        for budget, part in zip(budgets, masked, strict=True)
    }
    return {
        "without_noise": leader(baseline),
        "by_budget": _by_budget(budgets, masked),
        "gain": gains,
    }


def _seed(generator: torch.Generator, restart: int) -> int:
    return (generator.initial_seed() * 1000 + restart) % 2**63
