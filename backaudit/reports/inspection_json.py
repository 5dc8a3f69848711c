"""An inspection as a JSON record; ``inspect.schema.json`` beside this file is its schema."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from backaudit.core.version import own_version
from backaudit.files.contents import GlobalUse, Survey
from backaudit.loading.inspection.inspection import Inspection
from backaudit.loading.inspection.outlook import Architecture, Outlook
from backaudit.reports.contents import form
from backaudit.reports.findings import finding_record
from backaudit.reports.inspection import RULES, headline, result
from backaudit.reports.plain import SCHEMA_VERSION, dumped, finite, versions

LONGEST_TEXT = 10_000


def render(inspection: Inspection, exit_code: int) -> str:
    """Write the record."""
    return dumped(record(inspection, exit_code))


def record(inspection: Inspection, exit_code: int) -> dict[str, Any]:
    """Lay out the record that other programs rely on."""
    survey, outlook = inspection.survey, inspection.outlook
    found = {
        "schema_version": SCHEMA_VERSION,
        "backaudit_version": own_version(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "result": result(survey),
        "headline": headline(survey),
        "exit_code": exit_code,
        "file": _file(survey),
        "problem": survey.contents.problem or None,
        "findings": [finding_record(finding) for finding in survey.contents.findings],
        "globals": [_global(use) for use in survey.contents.uses],
        "tensors": asdict(inspection.tensors),
        "normalisation_layers": inspection.normalisation,
        "operators": inspection.operators,
        "network": None if outlook is None else _network(outlook),
        "metadata": survey.contents.metadata if outlook is None else outlook.metadata,
        "notes": [*survey.contents.notes, *(() if outlook is None else outlook.notes)],
        "versions": versions(),
    }
    plain: dict[str, Any] = _bounded(finite(found))
    return plain


def _file(survey: Survey) -> dict[str, Any]:
    return {
        "path": str(survey.path),
        "format": survey.format,
        "description": form(survey),
        "size": survey.size,
        "sha256": survey.sha256,
        "further_files": [
            {"path": str(opened.path), "size": opened.size, "sha256": opened.sha256}
            for opened in survey.contents.files
        ],
    }


def _global(use: GlobalUse) -> dict[str, Any]:
    return {
        "level": use.level.value,
        "rule": {"id": RULES[use.level].id, "name": RULES[use.level].name},
        "module": use.module,
        "name": use.name,
        "opcode": use.opcode,
        "offset": use.offset,
        "member": use.member,
        "calls": [{"opcode": opcode, "offset": offset} for opcode, offset in use.calls],
        "why": use.why,
    }


def _network(outlook: Outlook) -> dict[str, Any]:
    return {
        "architecture": _architecture(outlook.architecture),
        "num_classes": outlook.num_classes,
        "class_names": outlook.class_names,
        "image_size": outlook.image_size,
        "usual_image_size": outlook.usual_size,
        "mean": outlook.mean or None,
        "std": outlook.std or None,
        "wrapper": outlook.wrapper,
        "prefix": outlook.prefix,
        "weights": outlook.weights,
    }


def _architecture(architecture: Architecture) -> dict[str, Any]:
    return {
        "certainty": architecture.certainty.value,
        "name": architecture.name or None,
        "others": architecture.others,
        "differs": architecture.differs or None,
    }


def _bounded(value: Any) -> Any:
    """Cut texts that are longer than any fact about a network."""
    if isinstance(value, dict):
        return {key: _bounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    return value[:LONGEST_TEXT] if isinstance(value, str) else value
