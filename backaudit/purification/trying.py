"""Purifiers at work one after the other, each looked at well enough to choose among them."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn

from backaudit.core.errors import (
    BackauditError,
    DivergedError,
    NotApplicableError,
    OutputError,
    SuspectModifiedError,
)
from backaudit.core.evidence import Failed, NotApplicable
from backaudit.core.measured import Share, Split
from backaudit.core.progress import under
from backaudit.core.purification import Candidate, Tried, within
from backaudit.core.suspect import Suspect
from backaudit.nets.stages import Stages, Within
from backaudit.purification.measuring import accuracy, rescanned
from backaudit.purification.repairing import Repaired, repaired
from backaudit.purification.splitting import lacking
from backaudit.purification.terms import PurifyTerms
from backaudit.purifiers.interface import Purifier

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """A purifier that was run, and what it made.

    Args:
        tried: what came of it.
        network: what it made; None if it made none.
    """

    tried: Tried
    network: nn.Module | None


@dataclass(frozen=True)
class Trial:
    """What every purifier gets.

    Args:
        suspect: left as it was.
        split: the clean images.
        stages: of all purifiers.
        terms: seed, detectors and how much accuracy may be lost.
    """

    suspect: Suspect
    split: Split
    stages: Stages
    terms: PurifyTerms

    def attempts(self, purifiers: Sequence[Purifier]) -> tuple[Attempt, ...]:
        """Run purifiers, all of them or until one is good enough.

        Of a single one, errors are raised; of several, they are what came of one of them.

        Raises:
            NotApplicableError: if none made a network; says why.
            DivergedError: if the only one diverged.
        """
        if len(purifiers) == 1:
            return (self._attempt(purifiers[0], rivals=False),)
        made: list[Attempt] = []
        for purifier in purifiers:
            made.append(self._caught(purifier))
            outcome = made[-1].tried.outcome
            if self.terms.first_good and isinstance(outcome, Candidate) and outcome.good_enough:
                break
        if all(each.network is None for each in made):
            raise NotApplicableError(f"no purifier could be applied. {' '.join(_reasons(made))}")
        return tuple(made)

    def _caught(self, purifier: Purifier) -> Attempt:
        start = time.perf_counter()
        outcome: NotApplicable | Failed
        try:
            return self._attempt(purifier, rivals=True)
        except NotApplicableError as error:
            outcome = NotApplicable(str(error))
        except DivergedError as error:
            outcome = Failed(str(error))
        except (SuspectModifiedError, OutputError):
            raise
        except Exception as error:
            # One purifier's crash must not cost what another repairs.
            log.debug("%s crashed", purifier.rule.name, exc_info=True)
            named = isinstance(error, BackauditError)
            outcome = Failed(str(error) if named else f"{type(error).__name__}: {error}")
        return Attempt(_tried(purifier, time.perf_counter() - start, outcome), None)

    def _attempt(self, purifier: Purifier, *, rivals: bool) -> Attempt:
        """Run one; look at what it made as far as choosing among rivals takes it."""
        name, seed = purifier.rule.name, self.terms.seed
        reason = lacking(purifier, self.split)
        if reason:
            raise NotApplicableError(reason)
        log.info("running %s", name)
        stages = Within(self.stages, name)
        made = repaired(self.suspect, self.split, purifier, stages, seed=seed)
        outcome = self._judged(made, name, rivals=rivals)
        return Attempt(_tried(purifier, made.seconds, outcome), made.network)

    def _judged(self, made: Repaired, name: str, *, rivals: bool) -> Candidate:
        network = replace(self.suspect, network=made.network)
        before = accuracy(self.suspect, self.split.validation)
        after = accuracy(network, self.split.validation)
        drop = _drop(before, after)
        # One image may be lost even where it is more than that: few images tell no finer.
        keeps = within(drop, max(self.terms.max_accuracy_drop, 100 / after.images))
        candidate = Candidate(made.measurements, after, drop, keeps)
        if not rivals:
            return candidate
        with under(f"after {name}"):
            # Other draws than those of the final scan, which would else be the luckiest of several.
            audit = rescanned(network, self.split, self.terms, self.terms.seed + 1)
        return replace(candidate, runs=audit.runs, judgement=audit.judgement)


def _drop(before: Share, after: Share) -> float:
    return 100 * (before.rate - after.rate)


def _tried(purifier: Purifier, seconds: float, outcome: Any) -> Tried:
    settings: dict[str, Any] = asdict(purifier)  # type: ignore[call-overload]
    return Tried(purifier.rule, settings, seconds, outcome)


def _reasons(made: Sequence[Attempt]) -> Iterator[str]:
    for each in made:
        match each.tried.outcome:
            case NotApplicable(reason=said) | Failed(error=said):
                yield f"{each.tried.rule.name}: {said}"
