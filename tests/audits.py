"""Small fakes: a suspect, a clean set, readings and whole audits."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.evidence import Evidence, Failed, NotApplicable, Outcome, Rule, Run
from backaudit.core.suspect import Preprocessing, Suspect
from backaudit.core.verdict import Audit, judge
from backaudit.reports.report import Report

NAMES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BAN = Rule("BA101", "ban", "Does one class swallow all images when the weights are disturbed?")
MMBD = Rule("BA102", "mm-bd", "Is one class far easier to force on any image than the others?")
PSC = Rule("BA201", "ibd-psc", "How well could a firewall tell triggered images from clean ones?")
PROVENANCE = "highest of 38 benign models; 2.6 % false alarms (95 % interval 0.1 to 13.8 %)."
PER_CLASS = [0.02, 0.01, 0.05, 0.12, 0.03, 0.58, 0.06, 0.04, 0.02, 0.07]
CALIBRATION = {
    "layers": [f"bn{index}" for index in range(13)],
    "layer_kind": "normalisation",
    "k": 4,
    "depths": [4, 5, 6, 7, 8],
    "scale": 1.5,
    "error_threshold": 0.6,
    "error_at_k": 0.71,
    "threshold": 0.9,
    "clean_images": 250,
    "false_flag_rate": 0.032,
    "false_flag_interval": [0.0164, 0.0618],
    "threshold_at_5_percent": 0.871,
    "threshold_at_1_percent": 0.964,
    "collapse_class": 5,
    "collapse_share": 0.8,
    "breaks": True,
}
BLIND_TO = {
    "ban": "all-to-all backdoors with many targets; triggers that only work in the physical world.",
    "mm-bd": "all-to-all backdoors (no class stands out); several targets at once.",
    "ibd-psc": "says nothing on its own about whether the network is backdoored.",
}


@dataclass(frozen=True)
class Reads:
    """Reads a score.

    Two sentences about what it does.

    Score: a share,
        upwards.
    Blind to: whatever it
        does not see.

    Args:
        score: what it reads,
            in [0, 1].
        restarts: how often.
    """

    rule: ClassVar[Rule] = BAN

    score: float = 0.12
    restarts: int = 4

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        return reading(self.score, 0.31, 5, strong=0.5, measurements={"per_class": PER_CLASS})


@dataclass(frozen=True)
class Agrees(Reads):
    """Reads the same."""

    rule: ClassVar[Rule] = MMBD


@dataclass(frozen=True)
class Calibrates:
    """Calibrates a firewall."""

    rule: ClassVar[Rule] = PSC

    scale: float = 1.5

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        return Evidence(0.032, None, measurements={"calibration": CALIBRATION, "notes": []})


@dataclass(frozen=True)
class DoesNotFit(Reads):
    """Refuses."""

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        raise NotApplicableError("the network has no normalisation layer.")


@dataclass(frozen=True)
class Crashes(Reads):
    """Fails."""

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        raise RuntimeError("boom")


@dataclass(frozen=True)
class Meddles(Reads):
    """Changes a weight."""

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        with torch.no_grad():
            next(suspect.network.parameters()).add_(1.0)
        return super().detect(suspect, clean)


@dataclass(frozen=True)
class Interrupted(Reads):
    """Is interrupted by Ctrl-C."""

    def detect(self, suspect: Suspect, clean: CleanSet) -> Evidence:
        raise KeyboardInterrupt


def suspect(names: tuple[str, ...] = NAMES, **changes: object) -> Suspect:
    preprocessing = Preprocessing(
        size=(2, 2),
        mean=(0.5,),
        std=(0.25,),
        name="cifar10",
        how="chosen among 6 conventions by batch-norm statistics (0.003, next best 0.51)",
    )
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, len(names))).eval()
    made = Suspect(
        network=network,
        num_classes=len(names),
        image_shape=(1, 2, 2),
        architecture="wide-resnet-16-1",
        sha256="3f2a9c01d4e5b6f7" * 4,
        path=Path("models/candidate.pth.tar"),
        format="torch-zip",
        class_names=names,
        preprocessing=preprocessing,
        assumptions=("dropout before each second convolution is inactive",),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def clean_set(accuracy: float | None = 0.853, images: int = 500, classes: int = 10) -> CleanSet:
    return CleanSet(
        images=torch.zeros(images, 1, 2, 2, dtype=torch.uint8),
        labels=torch.arange(images) % classes,
        labelled=accuracy is not None,
        source="./samples",
        class_matching="folder names match the class list, 10 of 10",
        accuracy=accuracy,
    )


def reading(
    score: float, threshold: float | None = 0.31, *targets: int, **more: object
) -> Evidence:
    more = {"provenance": PROVENANCE, "p_value": 1 / 39} | more
    return Evidence(score, threshold, targets, **more)  # type: ignore[arg-type]


def run_of(rule: Rule, outcome: Outcome, seconds: float = 4.2) -> Run:
    return Run(rule, {"restarts": 4, "eps": (0.1, 0.3)}, 0, seconds, outcome)


def calibrated() -> Run:
    evidence = Evidence(0.032, None, measurements={"calibration": CALIBRATION, "notes": []})
    return run_of(PSC, evidence, 2.1)


def audit(*runs: Run, of: Suspect | None = None, clean: CleanSet | None = None) -> Audit:
    return Audit(of or suspect(), clean or clean_set(), 0, runs, judge(runs))


def backdoored() -> Audit:
    measured = {"per_class": PER_CLASS, "share": 0.58}
    return audit(
        run_of(BAN, reading(0.58, 0.31, 5, strong=0.5, measurements=measured), 9.1),
        run_of(MMBD, reading(6.2, 4.0, 5, provenance="highest of 38 benign models."), 3.2),
        calibrated(),
    )


def suspicious() -> Audit:
    return audit(
        run_of(BAN, reading(0.33, 0.31, 5, strong=0.5, measurements={"per_class": PER_CLASS})),
        run_of(MMBD, reading(2.1, 4.0, 3)),
        calibrated(),
    )


def no_evidence() -> Audit:
    return audit(
        run_of(BAN, reading(0.12, 0.31, 3, p_value=0.4)),
        run_of(MMBD, reading(1.4, 4.0, 3, p_value=0.3)),
        calibrated(),
    )


def inconclusive() -> Audit:
    return audit(
        run_of(BAN, NotApplicable("the network has no normalisation layer.")),
        run_of(MMBD, Failed("RuntimeError: the size of tensor a (3) must match tensor b (4)")),
        run_of(PSC, NotApplicable("the network has nothing to amplify.")),
    )


def report(of: Audit, exit_code: int = 1) -> Report:
    return Report(of, exit_code, BLIND_TO)
