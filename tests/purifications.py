"""Small fakes: purifiers, and whole purifications."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from backaudit.core.errors import DivergedError, NotApplicableError
from backaudit.core.evidence import Rule, Run
from backaudit.core.measured import AttackMeasured, Measured, Share, Split
from backaudit.core.progress import track
from backaudit.core.purification import Candidate, Output, Purification, Tried
from backaudit.core.verdict import judge
from backaudit.nets.stages import Stages
from backaudit.purifiers.interface import Measurements, Parts
from tests.audits import BAN, MMBD, calibrated, clean_set, reading, run_of, suspect

REPAIRS = Rule("BA498", "repairs", "Does a little less of everything repair it?")


@dataclass(frozen=True)
class Repairs:
    """Makes every parameter a little smaller, step by step.

    Args:
        factor: of every parameter, each step.
        steps: how many.
    """

    rule: ClassVar[Rule] = REPAIRS

    factor: float = 0.999
    steps: int = 2

    @property
    def fewest_images(self) -> int:
        return 20

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        state = stages.left("steps")
        first = 0
        if state is not None:
            network.load_state_dict(state["network"])
            first = state["done"]
        for step in track(range(first, self.steps), "shrinking"):
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.mul_(self.factor)
            stages.leave("steps", {"network": network.state_dict(), "done": step + 1})
        return {"images": len(parts.fit), "began_at": first}


@dataclass(frozen=True)
class Wrecks(Repairs):
    """Leaves nothing of the network."""

    rule: ClassVar[Rule] = Rule("BA497", "wrecks", "Does zero repair it?")

    factor: float = 0.0


@dataclass(frozen=True)
class Diverges(Repairs):
    """Ends in NaN."""

    rule: ClassVar[Rule] = Rule("BA496", "diverges", "Does NaN repair it?")

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        stages.leave("steps", {"done": 1})
        raise DivergedError("the loss became NaN at step 3 of 20.")


@dataclass(frozen=True)
class FitsNothing(Repairs):
    """Refuses."""

    rule: ClassVar[Rule] = Rule("BA495", "fits-nothing", "Does nothing repair it?")

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        raise NotApplicableError("the network has no batch norm.")


@dataclass(frozen=True)
class Falls(Repairs):
    """Crashes."""

    rule: ClassVar[Rule] = Rule("BA494", "falls", "Does a crash repair it?")

    def purify(
        self, network: nn.Module, parts: Parts, *, seed: int, stages: Stages
    ) -> Measurements:
        raise ZeroDivisionError("by zero")


@dataclass(frozen=True)
class LeavesNaN(Repairs):
    """Does not notice that it broke the network."""

    rule: ClassVar[Rule] = Rule("BA493", "leaves-nan", "Does NaN repair it?")

    factor: float = float("inf")


FAKES = {
    each.rule.name: each for each in (Repairs, Wrecks, Diverges, FitsNothing, Falls, LeavesNaN)
}

FOUND = (
    run_of(BAN, reading(0.58, 0.31, 5, strong=0.5)),
    run_of(MMBD, reading(1.0, 4.0, 3)),
    calibrated(),
)
SILENT = (run_of(BAN, reading(0.12, 0.31, 3)), run_of(MMBD, reading(1.0, 4.0, 3)), calibrated())


def measured(wrong: Sequence[int] = (), runs: Sequence[Run] = SILENT) -> Measured:
    """Of 20 test images, two of each of ten classes, those at ``wrong`` are misclassified."""
    labels = tuple(index % 10 for index in range(20))
    correct = tuple(index not in wrong for index in range(20))
    return Measured(correct, labels, tuple(runs), judge(runs))


def candidate(rate: float = 1.0, runs: Sequence[Run] = SILENT, drop: float = 0.0) -> Candidate:
    share = Share(round(12 * rate), 12)
    return Candidate({"epochs": 9}, share, drop, drop <= 3, tuple(runs), judge(runs))


def tried(outcome: object, rule: Rule = REPAIRS) -> Tried:
    return Tried(rule, {"factor": 0.999, "steps": 2}, 12.3, outcome)  # type: ignore[arg-type]


def attack(hits: int, right: int | None = None) -> AttackMeasured:
    return AttackMeasured(Share(hits, 40), None if right is None else Share(right, 40))


def purification(**changes: object) -> Purification:
    """One that went well, written to repaired.pt."""
    clean = clean_set(images=80)
    fit, validation, test = (
        clean.take(torch.arange(*part)) for part in ((0, 48), (48, 60), (60, 80))
    )
    made = Purification(
        suspect=suspect(),
        clean=clean,
        split=Split(fit, validation, test),
        seed=7,
        max_accuracy_drop=3.0,
        force=False,
        before=measured((3,), FOUND),
        tried=(tried(replace(candidate(), runs=(), judgement=None)),),
        chosen=0,
        after=measured((3,), SILENT),
        repaired=suspect(path=Path("repaired.pt")),
        output=Output(Path("repaired.pt"), "ab" * 32, True),
        seconds=61.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]
