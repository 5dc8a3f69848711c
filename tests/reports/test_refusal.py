import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from backaudit.files.contents import Survey
from backaudit.reports import json as audit_json
from backaudit.reports.report import Refusal
from backaudit.reports.terminal import render
from tests import surveys


def refusal(of: Survey) -> Refusal:
    return Refusal(of, Path("samples"), 7, 1)


@pytest.mark.parametrize("of", [surveys.unsafe(), surveys.deceptive()])
def test_the_record_keeps_to_the_schema_of_an_audit(of: Survey) -> None:
    schema = json.loads(
        resources.files("backaudit.reports").joinpath("audit.schema.json").read_text()
    )
    found = json.loads(audit_json.render(refusal(of)))
    Draft202012Validator(schema).validate(found)
    assert set(schema["required"]) <= set(found)
    assert set(schema["$defs"]["suspect"]["required"]) <= set(found["suspect"])
    assert set(schema["$defs"]["clean_set"]["required"]) <= set(found["clean_set"])


def test_the_record_claims_nothing_about_the_network() -> None:
    found = json.loads(audit_json.render(refusal(surveys.unsafe())))
    assert found["verdict"] == "inconclusive"
    assert found["exit_code"] == 1
    assert found["seed"] == 7
    assert found["runs"] == found["target_classes"] == []
    assert found["suspect"] == {
        "path": "models/candidate.pt",
        "sha256": "3f2a" * 16,
        "format": "torch-zip",
        "architecture": None,
        "num_classes": None,
        "clean_accuracy": None,
    }
    assert found["clean_set"]["source"] == "samples"
    assert found["clean_set"]["images"] == 0


def test_the_record_has_the_findings_about_the_file() -> None:
    found = json.loads(audit_json.render(refusal(surveys.unsafe())))["findings"]
    (finding,) = found
    assert finding["rule"] == {"id": "BA001", "name": "unsafe-file"}
    assert finding["unsafe"] is True
    assert "posix.system" in finding["message"]


def test_the_page_says_what_loading_would_have_run_and_what_to_do() -> None:
    text = " ".join(render(refusal(surveys.unsafe())).split())
    for part in (
        "UNSAFE FILE",
        "nothing of the file was loaded",
        "BA001 Loading it would call posix.system (runs a shell command)",
        "REDUCE at offset 41",
        "Do not load it",
        "safetensors",
        "All that the file names: backaudit inspect models/candidate.pt",
        "`backaudit rules BA001`",
        "exit code 1",
    ):
        assert part in text


def test_an_archive_that_deceives_names_its_own_rule() -> None:
    text = render(refusal(surveys.deceptive()))
    assert "`backaudit rules BA004`" in text
    assert "would run code" not in text


def test_a_file_name_cannot_become_a_command_when_it_is_pasted() -> None:
    of = replace(surveys.unsafe(), path=Path("a;curl x|sh.pt"))
    assert "backaudit inspect 'a;curl x|sh.pt'" in render(refusal(of))
