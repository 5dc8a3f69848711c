"""What is tried on a model: one purifier, or the choice that ``backaudit purify`` makes itself."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from torch import nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.progress import under
from backaudit.core.purification import Candidate
from backaudit.core.suspect import Suspect
from backaudit.detectors.calibration import load_calibration
from backaudit.nets.stages import NoStages
from backaudit.purification.choosing import AUTO
from backaudit.purification.purify import purify
from backaudit.purification.splitting import divided
from backaudit.purification.terms import PurifyTerms
from backaudit.purification.trying import Trial
from backaudit.purifiers.interface import Purifier
from backaudit.reports.purification.json import record


@dataclass(frozen=True)
class Purified:
    """What a method made of a suspect.

    Args:
        network: the repaired one; the suspect's own if nothing was found to repair.
        seconds: that it took.
        said: what it did and chose, JSON-ready.
    """

    network: nn.Module
    seconds: float
    said: Mapping[str, Any]


class Method(Protocol):
    """Something that repairs a suspect with clean images, and a name for the column."""

    @property
    def name(self) -> str:
        """Of the method."""
        ...

    @property
    def purifiers(self) -> tuple[Purifier, ...]:
        """That it may run, with their settings."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """By name."""
        ...

    @property
    def calibration(self) -> object:
        """What the program ships that the result depends on, JSON-ready; None if nothing."""
        ...

    def purify(self, suspect: Suspect, clean: CleanSet, seed: int) -> Purified:
        """Repair a copy of the suspect's network.

        Raises:
            NotApplicableError: if the method does not fit the network, or the images are too few.
        """
        ...


@dataclass(frozen=True)
class Single:
    """One purifier, as ``backaudit purify --method NAME`` runs it, without a scan.

    Args:
        purifier: with its settings.
    """

    purifier: Purifier

    @property
    def name(self) -> str:
        """Of the purifier."""
        return self.purifier.rule.name

    @property
    def calibration(self) -> None:
        """None: no purifier has any."""

    @property
    def purifiers(self) -> tuple[Purifier, ...]:
        """The one."""
        return (self.purifier,)

    @property
    def settings(self) -> dict[str, Any]:
        """Of the purifier."""
        settings: dict[str, Any] = asdict(self.purifier)  # type: ignore[call-overload]
        return settings

    def purify(self, suspect: Suspect, clean: CleanSet, seed: int) -> Purified:
        """Divide the images and run the purifier."""
        split = divided(clean, suspect.class_names)
        trial = Trial(suspect, split, NoStages(), PurifyTerms(seed=seed))
        (made,) = trial.attempts((self.purifier,))
        outcome = made.tried.outcome
        if made.network is None or not isinstance(outcome, Candidate):
            raise NotApplicableError(f"{self.name} made no network.")
        said = {
            "taken": self.name,
            "measurements": outcome.measurements,
            "accuracy_drop_to_choose_by": outcome.accuracy_drop,
            "warnings": split.warnings,
        }
        return Purified(made.network, made.tried.seconds, said)


@dataclass(frozen=True)
class Automatic:
    """The choice of ``backaudit purify --method auto``, scans and all.

    Args:
        purifiers: that it tries, with their settings.
    """

    purifiers: tuple[Purifier, ...]
    name: str = AUTO

    @property
    def settings(self) -> dict[str, Any]:
        """Of each purifier."""
        return {each.rule.name: asdict(each) for each in self.purifiers}  # type: ignore[call-overload]

    @property
    def calibration(self) -> object:
        """Thresholds of the detectors, which have a say in the choice."""
        return load_calibration()

    def purify(self, suspect: Suspect, clean: CleanSet, seed: int) -> Purified:
        """Scan, try what suits, take the best; leave it alone where the scan finds nothing."""
        terms = PurifyTerms(seed=seed, scan_first=True, first_good=True)
        with under(self.name):
            made = purify(suspect, clean, self.purifiers, None, terms)
        whole = record(made, {})
        said = {name: whole[name] for name in ("result", "headline", "audit", "tried")}
        said["taken"] = None if made.method is None else made.method.rule.name
        repaired = suspect if made.repaired is None else made.repaired
        return Purified(repaired.network, made.seconds, said)
