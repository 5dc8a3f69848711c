import json
import math
from importlib import resources
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator

from backaudit.core.verdict import Audit
from backaudit.reports.calibration import calibration_run
from backaudit.reports.json import record, render
from backaudit.reports.plain import finite
from tests import audits
from tests.audits import BAN, PSC, audit, clean_set, reading, report, run_of, suspect

ALL = [
    audits.backdoored(),
    audits.suspicious(),
    audits.no_evidence(),
    audits.inconclusive(),
    audit(run_of(BAN, reading(math.nan, 0.31, p_value=None)), clean=clean_set(None)),
]


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads(
        resources.files("backaudit.reports").joinpath("audit.schema.json").read_text()
    )


def test_the_schema_is_a_schema(schema: Any) -> None:
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("of", ALL)
def test_a_record_keeps_to_the_published_schema(schema: Any, of: Audit) -> None:
    Draft202012Validator(schema).validate(json.loads(render(report(of))))


@pytest.mark.parametrize("of", ALL)
def test_the_schema_describes_every_key_of_a_record(schema: Any, of: Audit) -> None:
    found = json.loads(render(report(of)))
    parts = schema["$defs"]
    assert set(found) <= set(schema["properties"])
    assert set(found["suspect"]) <= set(parts["suspect"]["properties"])
    assert set(found["clean_set"]) <= set(parts["clean_set"]["properties"])
    for run in found["runs"]:
        kind = run["outcome"]["kind"].replace("-", "_")
        assert set(run) <= set(parts["run"]["properties"])
        assert set(run["outcome"]) <= set(parts[kind]["properties"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("verdict",), "clean"),
        (("exit_code",), 7),
        (("target_classes",), ["dog"]),
        (("suspect", "sha256"), "short"),
        (("suspect", "clean_accuracy"), 85.3),
        (("runs", 0, "outcome", "kind"), "skipped"),
        (("runs", 0, "outcome", "score"), "high"),
        (("runs", 0, "rule", "id"), "101"),
    ],
)
def test_the_schema_refuses_what_breaks_the_contract(
    schema: Any, path: tuple[Any, ...], value: object
) -> None:
    found = record(report(audits.backdoored()))
    holder = found
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    assert not Draft202012Validator(schema).is_valid(found)


def test_the_record_has_the_values_of_the_audit() -> None:
    found = record(report(audits.backdoored()))
    assert found["verdict"] == "backdoored"
    assert found["target_classes"] == [5]
    assert found["exit_code"] == 1
    assert found["suspect"]["clean_accuracy"] == 0.853
    assert found["suspect"]["path"] == "models/candidate.pth.tar"
    assert found["clean_set"]["images"] == 500
    assert found["clean_set"]["preprocessing"]["size"] == [2, 2]
    ban = found["runs"][0]
    assert ban["settings"] == {"restarts": 4, "eps": [0.1, 0.3]}
    assert ban["outcome"]["fires"] is True
    assert ban["outcome"]["measurements"]["share"] == 0.58
    assert [finding["rule"]["id"] for finding in found["findings"]] == ["BA101", "BA102"]
    assert found["versions"]["torch"] == torch.__version__


def test_outcomes_have_three_kinds() -> None:
    outcomes = [run["outcome"] for run in record(report(audits.inconclusive()))["runs"]]
    assert [outcome["kind"] for outcome in outcomes] == [
        "not-applicable",
        "failed",
        "not-applicable",
    ]
    assert outcomes[0]["reason"] == "the network has no normalisation layer."
    assert outcomes[1]["error"].startswith("RuntimeError")


def test_numbers_that_json_lacks_become_null() -> None:
    assert finite({"a": [math.nan, math.inf, 1.5], 3: (True, None, "x")}) == {
        "a": [None, None, 1.5],
        "3": [True, None, "x"],
    }


def test_tensors_and_strangers_become_plain() -> None:
    assert finite(torch.tensor([1.0, math.nan])) == [1.0, None]
    assert finite(torch.tensor(2)) == 2
    assert finite(suspect().path) == "models/candidate.pth.tar"


def test_the_text_is_ascii_whatever_the_names_are() -> None:
    of = audit(run_of(BAN, reading(0.1)), of=suspect(("\x1b[2J\u202e", "犬", "\udc80")))
    text = render(report(of))
    assert text.isascii()
    assert "\x1b" not in text
    assert json.loads(text)["suspect"]["class_names"][1] == "犬"


def test_the_clean_set_is_identified_by_its_pixels_and_labels() -> None:
    def digest(**changes: Any) -> str:
        of = audit(run_of(BAN, reading(0.1)), clean=clean_set(**changes))
        found: str = record(report(of))["clean_set"]["sha256"]
        return found

    assert digest() == digest()
    assert digest() != digest(classes=9)
    assert digest() != digest(images=499)


def test_a_calibration_is_found() -> None:
    run = calibration_run(audits.backdoored())
    assert run is not None
    assert run.rule.name == "ibd-psc"


@pytest.mark.parametrize("of", [audits.inconclusive(), audit(run_of(PSC, reading(0.1, None)))])
def test_an_audit_without_calibration_has_none(of: Audit) -> None:
    assert calibration_run(of) is None
