"""Is there something to repair? What a scan says, made now or read from its record."""

import json
from pathlib import Path

from backaudit.audit import scan
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import SettingError
from backaudit.core.progress import under
from backaudit.core.purification import Detected
from backaudit.core.suspect import Suspect
from backaudit.core.verdict import Verdict
from backaudit.purification.terms import PurifyTerms

LARGEST = 1 << 28


def detect(suspect: Suspect, clean: CleanSet, terms: PurifyTerms, what: str = "scan") -> Detected:
    """Scan with all clean images, as ``backaudit scan`` does.

    Args:
        suspect: before or after.
        clean: all images.
        terms: seed and detectors.
        what: is being done, for the progress bar.
    """
    with under(what):
        found = scan(suspect, clean, terms.detectors, seed=terms.seed).judgement
    source = f"a scan with all {len(clean)} clean images"
    return Detected(found.verdict, found.target_classes, source)


def read_audit(file: Path, suspect: Suspect) -> Detected:
    """Take the verdict from what ``backaudit scan -o json=FILE`` wrote.

    Raises:
        SettingError: if it is no such record, or of another model.
    """
    try:
        if file.stat().st_size > LARGEST:
            raise SettingError(f"--audit {file} is too large for what `scan -o json` writes")
        record = json.loads(file.read_bytes())
        sha256 = record["suspect"]["sha256"]
        verdict = Verdict(record["verdict"])
        targets = tuple(int(label) for label in record["target_classes"])
    except OSError as error:
        raise SettingError(f"--audit {file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise SettingError(f"--audit {file} is not what `scan -o json=FILE` writes") from error
    if sha256 != suspect.sha256:
        raise SettingError(
            f"--audit {file} is of another model (SHA-256 {str(sha256)[:16]}...) than "
            f"{suspect.path} (SHA-256 {suspect.sha256[:16]}...): scan this one"
        )
    known = tuple(label for label in targets if 0 <= label < suspect.num_classes)
    return Detected(verdict, known, str(file))
