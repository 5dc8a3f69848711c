"""A screening as a JSON record; ``screening.schema.json`` one folder up is its published schema."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from backaudit.core.screening import Calibration
from backaudit.core.suspect import Suspect
from backaudit.core.version import own_version
from backaudit.reports.json import suspect_record
from backaudit.reports.plain import SCHEMA_VERSION, finite, versions
from backaudit.reports.screening.report import ClassFlags, FlagTest, Screening
from backaudit.reports.screening.wording import headline


def record(screening: Screening) -> dict[str, Any]:
    """Lay out all but the images."""
    counts = screening.counts
    found = {
        "schema_version": SCHEMA_VERSION,
        "backaudit_version": own_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "headline": headline(screening),
        "exit_code": int(screening.exit_code),
        "fail_on": screening.fail_on,
        "suspect": suspect_record(screening.suspect)
        | {"preprocessing": asdict(screening.suspect.preprocessing)},
        "calibrated_by": screening.calibrated_by,
        "screeners": [_screener(screening, each) for each in screening.calibrations],
        "inputs": {
            "source": screening.source,
            "kind": screening.kind,
            "screened": screening.test.images,
            "unreadable": counts.unreadable,
            "resized": counts.resized,
            "left_out": counts.left_out,
        },
        "summary": {
            "test": _test(screening.test),
            "per_class": [_class(screening.suspect, each) for each in screening.per_class],
            "copied": counts.copied,
        },
        "seconds": round(screening.seconds, 3),
        "images_per_second": screening.images_per_second,
        "versions": versions(),
    }
    plain: dict[str, Any] = finite(found)
    return plain


def _screener(screening: Screening, calibration: Calibration) -> dict[str, Any]:
    return {
        "name": calibration.method,
        "settings": calibration.settings,
        "threshold": calibration.threshold,
        "threshold_source": calibration.threshold_source,
        "false_flag_rate": calibration.false_flag_rate,
        "clean_images": len(calibration.clean_scores),
        "passes": screening.hows.get(calibration.method, ""),
        "collapse_class": calibration.fit.get("collapse_class"),
        "collapse_share": calibration.fit.get("collapse_share"),
        "test": _test(screening.tests[calibration.method]),
        "notes": calibration.notes,
    }


def _test(test: FlagTest) -> dict[str, Any]:
    return {
        "images": test.images,
        "flagged": test.flagged,
        "expected": test.expected,
        "clean_rate": test.rate,
        "clean_rate_interval": test.interval,
        "p_value": test.p_value,
        "mix_p_value": test.mix_p_value,
        "basis": test.basis,
        "untested_images": test.untested_images,
        "untested_flagged": test.untested_flagged,
    }


def _class(suspect: Suspect, flags: ClassFlags) -> dict[str, Any]:
    return {
        "class": flags.label,
        "name": suspect.class_names[flags.label],
        "images": flags.images,
        "flagged": flags.flagged,
        "clean_images": flags.clean_images,
        "clean_flagged": flags.clean_flagged,
    }
