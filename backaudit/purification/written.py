"""A purified network in a copy of its checkpoint, and what comes out when that is loaded again."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from backaudit.core.errors import BackauditError, OutputError
from backaudit.core.printable import printable
from backaudit.core.suspect import Suspect
from backaudit.files.limits import Limits
from backaudit.files.survey import survey
from backaudit.loading.load import load
from backaudit.loading.rewriting.rewrite import Rewritten, rewrite
from backaudit.purification.terms import PurifyTerms

log = logging.getLogger(__name__)

SHOWN = 8


@dataclass(frozen=True)
class Written:
    """A checkpoint that was written, and what it is.

    Args:
        suspect: what was loaded from it.
        sha256: of its bytes, in hexadecimal.
        notes: what a user must know to use it, one sentence each.
    """

    suspect: Suspect
    sha256: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Replacement:
    """A network that is to replace a suspect's.

    Args:
        suspect: as it was.
        network: a changed copy of its network.
        provenance: what the file is to tell about itself, where its format has a place for that.
        terms: how the suspect was loaded, and whether files may be replaced.
    """

    suspect: Suspect
    network: nn.Module
    provenance: Mapping[str, str]
    terms: PurifyTerms

    def write_aside(self, folder: Path, name: str) -> Written:
        """Write it into a folder of its own, and load what was written.

        Raises:
            OutputError: if it cannot be written.
            CheckpointError: if what was written is no longer that network.
        """
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
        path = folder / name
        made = self._rewrite(path, force=True)
        loaded, notes = self._loaded(path, made)
        sha256 = _digest(path, self.terms.options.limits)
        return Written(loaded, sha256, (*_notes(made), *notes))

    def write(self, output: Path, measured: Written) -> Suspect:
        """Write it where it belongs.

        Raises:
            OutputError: if it cannot be written, or has other bytes than what was measured.
        """
        self._rewrite(output, force=self.terms.force)
        if _digest(output, self.terms.options.limits) != measured.sha256:
            raise OutputError(f"{output} was changed by somebody else while it was written")
        return replace(measured.suspect, path=output)

    def _rewrite(self, path: Path, *, force: bool) -> Rewritten:
        return rewrite(
            self.suspect,
            self.network,
            path,
            self.terms.options,
            provenance=self.provenance,
            force=force,
        )

    def _loaded(self, path: Path, made: Rewritten) -> tuple[Suspect, tuple[str, ...]]:
        """What a user gets who loads it as the original; else, as the original was prepared."""
        if self.terms.clean is None:
            return made.suspect, ()
        try:
            loaded, _ = load(path, self.terms.clean, self.terms.options)
        except BackauditError as error:
            log.debug("a plain load fails", exc_info=True)
            said = str(error)
        else:
            # The name of a graph's architecture says what its tensors fit as well.
            known = replace(self.suspect, architecture=loaded.architecture)
            said = _differences(known if made.untied else self.suspect, loaded)
            if not said:
                return loaded, ()
        return made.suspect, (f"Loaded as the original is, it is taken for something else: {said}",)


def _notes(made: Rewritten) -> Iterator[str]:
    """What else somebody who uses the new file has to know."""
    if not made.changed:
        yield "The method changed no weight: the result is the original network."
    if made.unrepaired:
        yield (
            f"Not repaired, and still in the file: the weights under {_listed(made.unrepaired)}. "
            "Do not use them; a program that prefers them, as it may averaged copies, runs the "
            "original."
        )
    if made.untied:
        yield (
            f"Stored by themselves now, and in the original once with equal ones: "
            f"{_listed(made.untied)}."
        )
    if made.left_out:
        yield (
            f"Left out of the new folder: {_listed(made.left_out)}. What is left out may hold the "
            "original's weights, or lies outside its folder."
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(printable(name) for name in names[:SHOWN]) + more


def _differences(suspect: Suspect, loaded: Suspect) -> str:
    """What was found out differently about the new file, and how to state it; empty if nothing."""
    how, now = suspect.preprocessing, loaded.preprocessing
    if (how.size, how.mean, how.std) != (now.size, now.mean, now.std):
        mean, std = (",".join(f"{value:g}" for value in values) for values in (how.mean, how.std))
        size = "x".join(str(side) for side in how.size)
        return f"state its preprocessing, --size {size} --mean {mean} --std {std}."
    if suspect.architecture != loaded.architecture:
        return f"state its architecture, {suspect.architecture}, with --arch or --model-def."
    if suspect.class_names != loaded.class_names:
        return "its classes come out in another order: state them with --classes."
    return ""


def _digest(path: Path, limits: Limits) -> str:
    return str(survey(path, limits).sha256)
