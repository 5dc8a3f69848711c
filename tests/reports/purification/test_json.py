import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from backaudit.core.evidence import Failed, NotApplicable
from backaudit.core.purification import Detected, Purification, Result
from backaudit.core.verdict import Verdict
from backaudit.reports.purification.json import render
from tests.audits import clean_set
from tests.purifications import FOUND, SILENT, attack, candidate, measured, purification, tried

NOTHING = Detected(Verdict.NO_EVIDENCE, (), "a scan with all 80 clean images")
UNCHANGED = purification(
    detected=NOTHING, tried=(), chosen=None, after=None, repaired=None, output=None
)
SEVERAL = purification(
    tried=(
        tried(candidate(0.5, FOUND, drop=8.0)),
        tried(NotApplicable("the network has no batch norm.")),
        tried(Failed("the loss became NaN at step 3.")),
        tried(candidate()),
    ),
    chosen=3,
    detected=Detected(Verdict.BACKDOORED, (5,), "audit.json"),
)
ATTACKED = purification(
    trigger="40 images",
    before=replace(measured((), FOUND), attack=attack(40)),
    after=replace(measured(), attack=attack(2, 35)),
)
ALL = {
    "purified": purification(),
    "still-found": purification(after=measured((), FOUND)),
    "found-by-all": purification(rescanned=Detected(Verdict.SUSPICIOUS, (5,), "a scan")),
    "inconclusive": purification(before=measured((), SILENT[2:]), after=measured((), SILENT[2:])),
    "too-inaccurate": purification(after=measured(range(5)), output=None),
    "nothing-found": UNCHANGED,
    "several": SEVERAL,
    "attacked": ATTACKED,
    "unlabelled": purification(clean=clean_set(None, 80)),
}


@pytest.fixture(scope="module")
def schema() -> Any:
    published = resources.files("backaudit.reports").joinpath("purification.schema.json")
    return json.loads(published.read_text())


def record(made: Purification) -> Any:
    return json.loads(render(made, {"ban": "all-to-all"}))


def test_the_schema_is_a_schema(schema: Any) -> None:
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", ALL)
def test_a_record_keeps_to_the_published_schema(schema: Any, name: str) -> None:
    Draft202012Validator(schema).validate(record(ALL[name]))


@pytest.mark.parametrize("name", ALL)
def test_the_schema_describes_every_key_of_a_record(schema: Any, name: str) -> None:
    found, parts = record(ALL[name]), schema["$defs"]

    def described(value: Any, part: str) -> None:
        if value is not None:
            assert set(value) <= set(parts[part]["properties"]), part

    assert set(found) <= set(schema["properties"])
    for key in ("suspect", "clean_set", "audit", "method", "accuracy_drop", "output"):
        described(found[key], key)
    described(found["audit_after"], "audit")
    for side in filter(None, (found["before"], found["after"])):
        described(side, "measured")
        described(side["attack"], "attack")
        for each in side["per_class"]:
            described(each, "class_share")
    for each in found["tried"]:
        described(each, "tried")
        described(each["outcome"], each["outcome"]["kind"].replace("-", "_"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("result",), "clean"),
        (("exit_code",), 3),
        (("before", "clean_accuracy"), 85.3),
        (("after", "runs"), None),
        (("output", "sha256"), "short"),
        (("accuracy_drop", "points"), "many"),
        (("tried", 0, "outcome", "kind"), "skipped"),
    ],
)
def test_the_schema_refuses_what_breaks_the_contract(
    schema: Any, path: tuple[Any, ...], value: object
) -> None:
    found = record(purification())
    holder = found
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    assert not Draft202012Validator(schema).is_valid(found)


@pytest.mark.parametrize("result", Result)
def test_every_result_has_a_record_with_its_exit_code(result: Result) -> None:
    found = record(ALL[result.value])
    codes = {"purified": 0, "nothing-found": 0, "inconclusive": 4}
    assert (found["result"], found["exit_code"]) == (result.value, codes.get(result.value, 1))


def test_it_tells_accuracy_and_runs_before_and_after_and_the_digest_of_the_output() -> None:
    found = record(purification(before=measured((0, 1), FOUND), after=measured((1, 2, 3))))
    assert (found["before"]["clean_accuracy"], found["after"]["clean_accuracy"]) == (0.9, 0.85)
    assert found["after"]["clean_accuracy_interval"][0] < 0.85
    assert [run["rule"]["name"] for run in found["before"]["runs"]] == ["ban", "mm-bd", "ibd-psc"]
    assert found["before"]["runs"][0]["rule"]["blind_to"] == "all-to-all"
    assert found["output"] == {
        "path": "repaired.pt",
        "sha256": "ab" * 32,
        "written": True,
        "notes": [],
        "replaced": False,
    }
    drop = found["accuracy_drop"]
    assert drop["points"] == pytest.approx(5.0)
    assert (drop["images_lost"], drop["images_won"], drop["kept"]) == (2, 1, False)


def test_it_tells_all_it_takes_to_repeat_the_run() -> None:
    found = record(purification())
    assert found["method"]["settings"] == {"factor": 0.999, "steps": 2}
    assert found["method"]["measurements"] == {"epochs": 9}
    assert found["seed"] == 7
    assert len(found["suspect"]["sha256"]) == len(found["clean_set"]["sha256"]) == 64
    assert (found["clean_set"]["fit"], found["clean_set"]["test"]) == (48, 20)
    assert found["versions"]["torch"]
    assert Path(found["suspect"]["path"]).name == "candidate.pth.tar"


def test_without_labels_there_is_no_accuracy_but_an_agreement() -> None:
    found = record(ALL["unlabelled"])["before"]
    assert (found["clean_accuracy"], found["agreement_with_suspect"]) == (None, 0.95)


def test_each_class_is_told() -> None:
    classes = record(purification())["before"]["per_class"]
    assert len(classes) == 10
    assert classes[3] == {
        "class": 3,
        "name": "cat",
        "rate": 0.5,
        "interval": classes[3]["interval"],
        "hits": 1,
        "images": 2,
    }


def test_the_trigger_is_told_with_its_intervals() -> None:
    found = record(ATTACKED)
    before, after = found["before"]["attack"], found["after"]["attack"]
    assert before["attack_success_rate"]["rate"] == 1.0
    assert before["robust_accuracy"] is None
    assert (after["attack_success_rate"]["hits"], after["robust_accuracy"]["hits"]) == (2, 35)
    assert not any("cannot be known" in said for said in found["not_known"])
    assert any("cannot be known" in said for said in record(purification())["not_known"])
