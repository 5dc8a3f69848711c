"""What lies beside a repaired checkpoint and in it, so that others can tell how it was made."""

from collections.abc import Sequence
from dataclasses import asdict
from json import dumps, loads
from pathlib import Path
from typing import Any

import torch

from backaudit.core.clean_set import CleanSet
from backaudit.core.purification import Tried
from backaudit.core.suspect import Suspect
from backaudit.core.version import own_version
from backaudit.purification.stage_files import StageFiles
from backaudit.purifiers.interface import Purifier


def record_beside(output: Path) -> Path:
    """Where the record of a repaired checkpoint lies."""
    return output.with_name(f"{output.name}.purify.json")


def stage_files(
    output: Path, suspect: Suspect, clean: CleanSet, purifiers: Sequence[Purifier], seed: int
) -> StageFiles:
    """Where the state of an interrupted run lies, and which run it would be of."""
    settings: dict[str, Any] = {each.rule.name: asdict(each) for each in purifiers}  # type: ignore[call-overload]
    key = {
        "model": suspect.sha256,
        "set of clean images": clean.sha256,
        "architecture or preprocessing": [suspect.architecture, *_preprocessed(suspect)],
        "method or setting": loads(dumps(settings)),
        "seed": seed,
        "version of backaudit": own_version(),
    }
    return StageFiles(output.with_name(f".{output.name}.purify"), key)


def provenance(suspect: Suspect, clean: CleanSet, tried: Tried, seed: int) -> dict[str, str]:
    """What a file tells about itself, where its format has a place for that."""
    return {
        "backaudit.method": tried.rule.name,
        "backaudit.settings": dumps(tried.settings),
        "backaudit.seed": str(seed),
        "backaudit.original_sha256": suspect.sha256,
        "backaudit.clean_images_sha256": clean.sha256,
        "backaudit.version": own_version(),
        "backaudit.torch": str(torch.__version__),
    }


def _preprocessed(suspect: Suspect) -> list[list[float]]:
    how = suspect.preprocessing
    return [list(how.size), list(how.mean), list(how.std)]
