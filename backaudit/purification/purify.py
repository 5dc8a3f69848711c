"""Purify a suspect: repair a copy, write it, load what was written, measure. Start reading here."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import DivergedError, NotApplicableError, SettingError
from backaudit.core.measured import Split
from backaudit.core.progress import under
from backaudit.core.purification import Output, Purification, Result, Tried
from backaudit.core.suspect import Suspect
from backaudit.core.writing import require_free, write_whole
from backaudit.loading.rewriting.rewrite import require_rewritable
from backaudit.nets.stages import NoStages
from backaudit.purification.choosing import best_of
from backaudit.purification.detecting import detect
from backaudit.purification.measuring import measured
from backaudit.purification.provenance import provenance, record_beside, stage_files
from backaudit.purification.splitting import divided, lacking
from backaudit.purification.stage_files import StageFiles, told_to_resume
from backaudit.purification.terms import PurifyTerms
from backaudit.purification.trying import Attempt, Trial
from backaudit.purification.written import Replacement
from backaudit.purifiers.interface import Purifier
from backaudit.reports.purification import json as report

ASIDE = "written"


def purify(
    suspect: Suspect,
    clean: CleanSet,
    purifiers: Sequence[Purifier],
    output: Path | None = None,
    terms: PurifyTerms | None = None,
) -> Purification:
    """Repair a suspect, and measure it before and after on images that it was not repaired with.

    Args:
        suspect: as ``load`` gave it; left as it was.
        clean: trusted images, labelled or not.
        purifiers: of several, the best result by clean images and the detectors is taken.
        output: where to write the repaired checkpoint, in the format of the original, and beside it
            a record of everything (``.purify.json``); None to keep the result in memory.
        terms: seed, how much accuracy may be lost, and so on.

    Raises:
        SettingError: if no purifier is given.
        NotApplicableError: if the images are too few, or no purifier fits the network.
        DivergedError: if training led to numbers that are not finite; nothing is written.
        CheckpointError: if the suspect's format cannot be rewritten.
        OutputError: if the output exists without ``force``, is the original, cannot be written, or
            an earlier run was interrupted and is not resumed.
    """
    if not purifiers:
        raise SettingError("no purifier is named")
    start = time.perf_counter()
    work = _Work(suspect, clean, purifiers, output, terms or PurifyTerms())
    made = replace(work.done(), seconds=time.perf_counter() - start)
    if made.output is not None and made.output.written:
        write_whole(record_beside(made.output.path), report.render(made).encode("ascii"))
        work.forget(made.output.path)
    return made


@dataclass(frozen=True)
class _Work:
    """One call of ``purify``."""

    suspect: Suspect
    clean: CleanSet
    purifiers: Sequence[Purifier]
    output: Path | None
    terms: PurifyTerms

    def done(self) -> Purification:
        """Measure, repair, measure again."""
        split = self._checked()
        terms = self._scanned()
        with under("before"):
            before = measured(self.suspect, split, terms)
        found = Purification(
            suspect=self.suspect,
            clean=self.clean,
            split=split,
            seed=terms.seed,
            max_accuracy_drop=terms.max_accuracy_drop,
            force=terms.force,
            before=before,
            detected=terms.detected,
            trigger="" if terms.triggered is None else terms.triggered.said,
        )
        if terms.nothing_to_repair and not terms.force:
            return found
        found = replace(found, despite_scan=terms.nothing_to_repair)
        if self.output is None:
            return self._in_memory(found)
        return self._on_disk(found, self.output, self._stage_files(self.output))

    def forget(self, output: Path) -> None:
        """Remove what another run could go on with."""
        self._stage_files(output).remove()

    def _checked(self) -> Split:
        """Refuse what cannot work, before anything takes long."""
        split = divided(self.clean, self.suspect.class_names)
        reasons = [lacking(purifier, split) for purifier in self.purifiers]
        if all(reasons):
            raise NotApplicableError(" ".join(reasons))
        if self.output is not None:
            force = self.terms.force
            require_rewritable(self.suspect, self.output, self.terms.options, force=force)
            require_free(record_beside(self.output), force=force)
            self._stage_files(self.output).require(resume=self.terms.resume)
        return split

    def _scanned(self) -> PurifyTerms:
        """The terms, with what a scan says about the suspect if they ask for one."""
        terms = self.terms
        if not terms.scan_first or terms.detected is not None:
            return terms
        return replace(terms, detected=detect(self.suspect, self.clean, terms))

    def _stage_files(self, output: Path) -> StageFiles:
        seed = self.terms.seed
        return stage_files(output, self.suspect, self.clean, self.purifiers, seed)

    def _in_memory(self, found: Purification) -> Purification:
        trial = Trial(self.suspect, found.split, NoStages(), self.terms)
        best = _best(trial.attempts(self.purifiers))
        return self._measured_after(found, best, replace(self.suspect, network=best.network))

    def _on_disk(self, found: Purification, output: Path, files: StageFiles) -> Purification:
        """Measure what is really written, and only then put it where it belongs."""
        with _removed_if_hopeless(files):
            trial = Trial(self.suspect, found.split, files, self.terms)
            best = _best(trial.attempts(self.purifiers))
        files.open()
        said = provenance(self.suspect, self.clean, best.tried[best.chosen], self.terms.seed)
        replacement = Replacement(self.suspect, best.network, said, self.terms)
        with told_to_resume():
            aside = replacement.write_aside(files.folder / ASIDE, output.name)
        found = self._measured_after(found, best, aside.suspect)
        keeps = found.result is not Result.TOO_INACCURATE
        replaced = keeps and output.exists()
        if keeps:
            with told_to_resume():
                found = replace(found, repaired=replacement.write(output, aside))
        return replace(found, output=Output(output, aside.sha256, keeps, aside.notes, replaced))

    def _measured_after(
        self, found: Purification, best: "_Best", repaired: Suspect
    ) -> Purification:
        """Measure the result as the suspect was, and let the detectors try all images as well.

        With images that it was trained on a network may look better than it is, never worse: what
        they show counts, and more images show more.
        """
        with under("after"):
            after = measured(repaired, found.split, self.terms)
        found = replace(found, tried=best.tried, chosen=best.chosen, repaired=repaired, after=after)
        if found.result is not Result.PURIFIED:
            return found
        return replace(found, rescanned=detect(repaired, self.clean, self.terms, "scan again"))


@dataclass(frozen=True)
class _Best:
    """The network that is taken, and all that was tried."""

    tried: tuple[Tried, ...]
    chosen: int
    network: nn.Module


def _best(attempts: Sequence[Attempt]) -> _Best:
    tried = tuple(attempt.tried for attempt in attempts)
    chosen = best_of(tried)
    network = None if chosen is None else attempts[chosen].network
    if chosen is None or network is None:
        raise NotApplicableError("no purifier made a network.")
    return _Best(tried, chosen, network)


@contextmanager
def _removed_if_hopeless(files: StageFiles) -> Iterator[None]:
    """Keep the states of a run that can go on, and no others."""
    try:
        yield
    except (DivergedError, NotApplicableError):
        files.remove()
        raise
