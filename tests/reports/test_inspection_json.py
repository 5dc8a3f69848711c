import json
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from backaudit.files.contents import Survey
from backaudit.loading.inspection.outlook import Architecture
from backaudit.reports.inspection_json import LONGEST_TEXT, record, render
from tests import surveys
from tests.surveys import DANGEROUS, HARMLESS, inspection, survey, weights

ALL = [
    *(surveys.unsafe(), surveys.unknown(), surveys.honest()),
    *(surveys.deceptive(), surveys.unreadable()),
]


@pytest.fixture(scope="module")
def schema() -> Any:
    published = resources.files("backaudit.reports").joinpath("inspect.schema.json")
    return json.loads(published.read_text())


def test_the_schema_is_a_schema(schema: Any) -> None:
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("of", ALL)
def test_a_record_keeps_to_the_published_schema(schema: Any, of: Survey) -> None:
    Draft202012Validator(schema).validate(json.loads(render(inspection(of), 1)))


def test_what_is_not_known_keeps_to_it_too(schema: Any) -> None:
    unknown = {"num_classes": None, "image_size": None, "mean": (), "architecture": Architecture()}
    found = record(inspection(surveys.honest(), **unknown), 0)
    Draft202012Validator(schema).validate(found)
    assert found["network"]["num_classes"] is None
    assert found["network"]["architecture"]["certainty"] == "unknown"


def test_the_schema_describes_every_key_of_a_record(schema: Any) -> None:
    found = record(inspection(surveys.unsafe()), 1)
    parts = schema["$defs"]
    assert set(found) == set(schema["properties"])
    assert set(found["file"]) == set(schema["properties"]["file"]["properties"])
    assert set(found["network"]) == set(parts["network"]["properties"])
    assert set(found["globals"][0]) == set(parts["global"]["properties"])
    assert set(found["findings"][0]) == set(parts["finding"]["properties"])
    assert set(found["tensors"]) == set(parts["tensors"]["properties"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("result",), "safe"),
        (("exit_code",), 4),
        (("file", "sha256"), "short"),
        (("globals", 0, "level"), "fine"),
        (("network", "architecture", "certainty"), "sure"),
    ],
)
def test_the_schema_refuses_what_breaks_the_contract(
    schema: Any, path: tuple[Any, ...], value: object
) -> None:
    found: Any = record(inspection(surveys.unsafe()), 1)
    holder = found
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    assert not Draft202012Validator(schema).is_valid(found)


def test_every_use_of_every_global_is_in_the_record() -> None:
    uses = (DANGEROUS, HARMLESS, HARMLESS, replace(DANGEROUS, offset=99))
    found = record(inspection(survey(weights(), *uses)), 1)["globals"]
    assert [use["offset"] for use in found] == [14, 86, 86, 99]
    assert found[0] == {
        "level": "dangerous",
        "rule": {"id": "BA001", "name": "unsafe-file"},
        "module": "posix",
        "name": "system",
        "opcode": "GLOBAL",
        "offset": 14,
        "member": "archive/data.pkl",
        "calls": [{"opcode": "REDUCE", "offset": 41}],
        "why": "runs a shell command",
    }


def test_figures_are_those_of_the_file() -> None:
    found = record(inspection(surveys.honest()), 0)
    assert found["tensors"] == {
        "count": 8,
        "parameters": 322,
        "nbytes": 4 * 338 + 8,
        "dtypes": {"float32": 338, "int64": 1},
    }
    assert found["file"]["size"] == 46_830_571
    assert found["network"]["wrapper"] == ["state_dict"]
    assert found["metadata"] == {"epoch": 200, "acc": 0.953}


def test_a_file_that_cannot_be_read_says_why_and_has_no_network() -> None:
    found = record(inspection(surveys.unreadable()), 3)
    assert found["result"] == "unreadable"
    assert found["problem"] == "is damaged or truncated: copy or download it again"
    assert found["network"] is None
    assert found["metadata"] == {"epoch": 200, "acc": 0.953}


def test_the_text_is_ascii_and_long_texts_are_cut() -> None:
    of = survey(
        weights(), metadata={"\x1b\u202e": "\u72ac" * (LONGEST_TEXT + 1), "nan": float("nan")}
    )
    text = render(inspection(of), 0)
    assert text.isascii()
    assert "\x1b" not in text
    found = json.loads(text)["metadata"]
    assert len(found["\x1b\u202e"]) == LONGEST_TEXT
    assert found["nan"] is None
