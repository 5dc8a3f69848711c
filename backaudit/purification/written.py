"""A purified network in a copy of its checkpoint, and what comes out when that is loaded again."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from backaudit.core.errors import BackauditError, OutputError
from backaudit.core.suspect import Suspect
from backaudit.files.limits import Limits
from backaudit.files.survey import survey
from backaudit.loading.load import LoadOptions, load
from backaudit.loading.prepared import load_prepared, prepared_of
from backaudit.loading.rewriting.rewrite import Rewritten, rewrite
from backaudit.purification.terms import PurifyTerms

log = logging.getLogger(__name__)


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
        said = [f"Not in the new folder: {each}." for each in made.left_out]
        if not made.changed:
            said.append("The method changed no weight: the result is the original network.")
        loaded, notes = self._loaded(path)
        return Written(loaded, _digest(path, self.terms.options.limits), (*said, *notes))

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

    def _loaded(self, path: Path) -> tuple[Suspect, tuple[str, ...]]:
        """What a user gets who loads it as the original; else, as the original was prepared."""
        options, clean = self.terms.options, self.terms.clean
        said = ""
        if clean is not None:
            try:
                loaded, _ = load(path, clean, options)
            except BackauditError as error:
                log.debug("a plain load fails", exc_info=True)
                said = str(error)
            else:
                said = _differences(self.suspect, loaded)
                if not said:
                    return loaded, ()
        repaired = replace(self.suspect, network=self.network)
        prepared = replace(prepared_of(repaired), sha256=_digest(path, options.limits))
        stated = LoadOptions(
            model_def=options.model_def, device=options.device, limits=options.limits
        )
        notes = (f"Loaded as the original is, it is taken for something else: {said}",)
        return load_prepared(path, prepared, stated), notes if said else ()


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
