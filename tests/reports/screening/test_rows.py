import csv
import io
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from backaudit.reports.screening.rows import LINES, image_row, unreadable_row
from tests.audits import suspect
from tests.screenings import CALIBRATION, FLAGGED, OTHER, PLAIN, Image, Test, screening

NASTY = '=cmd|"\n</script>\x1b[31m\u202e\udcff,;'


@pytest.fixture(scope="module")
def schema() -> Any:
    published = resources.files("backaudit.reports").joinpath("screening.schema.json")
    return json.loads(published.read_text())


def written(name: str, images: Sequence[Any], methods: Sequence[str] = ("ibd-psc",)) -> str:
    stream = io.StringIO()
    lines = LINES[name](stream, methods)
    for image in images:
        lines.add(image_row(image, suspect()))
    lines.add(unreadable_row("in/bad.png", "truncated"))
    lines.finish(screening())
    lines.close()
    return stream.getvalue()


def test_the_schema_is_a_schema(schema: Any) -> None:
    Draft202012Validator.check_schema(schema)


def test_a_record_keeps_to_the_published_schema(schema: Any) -> None:
    record = json.loads(written("json", [FLAGGED, PLAIN, Image(NASTY)]))
    Draft202012Validator(schema).validate(record)
    assert [image["path"] for image in record["images"]][:3] == [FLAGGED.path, PLAIN.path, NASTY]


def test_a_record_without_images_and_with_several_screeners_keeps_to_it(schema: Any) -> None:
    stream = io.StringIO()
    lines = LINES["json"](stream, ())
    lines.finish(
        screening(calibrations=(CALIBRATION, OTHER), tests={"ibd-psc": Test(), "scale-up": Test()})
    )
    lines.close()
    record = json.loads(stream.getvalue())
    Draft202012Validator(schema).validate(record)
    assert record["images"] == []
    assert [each["collapse_class"] for each in record["screeners"]] == [5, None]


def test_the_schema_describes_every_key_of_a_record(schema: Any) -> None:
    record = json.loads(written("json", [FLAGGED]))
    parts = schema["$defs"]
    assert set(record) == set(schema["properties"])
    assert set(record["suspect"]) == set(parts["suspect"]["properties"])
    assert set(record["screeners"][0]) == set(parts["screener"]["properties"])
    assert set(record["images"][0]) == set(parts["image"]["properties"])
    assert set(record["summary"]["per_class"][0]) == set(parts["class"]["properties"])
    for key in ("inputs", "summary"):
        assert set(record[key]) == set(schema["properties"][key]["properties"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("exit_code",), 4),
        (("images", 0, "flagged"), "yes"),
        (("suspect", "sha256"), "short"),
        (("screeners",), []),
        (("summary", "test", "p_value"), 2),
    ],
)
def test_the_schema_refuses_what_breaks_the_contract(
    schema: Any, path: tuple[Any, ...], value: object
) -> None:
    record = json.loads(written("json", [FLAGGED]))
    holder = record
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    assert not Draft202012Validator(schema).is_valid(record)


def test_each_line_is_one_image_with_the_promised_keys(schema: Any) -> None:
    text = written("jsonl", [FLAGGED, Image(NASTY, score=float("nan"))])
    assert text.isascii()
    lines = [json.loads(line) for line in text.splitlines()]
    one = Draft202012Validator({"$ref": "#/$defs/image", "$defs": schema["$defs"]})
    for line in lines:
        one.validate(line)
    assert lines[0] == {
        "path": "in/evil.png",
        "score": 0.99,
        "flagged": True,
        "predicted_class": 5,
        "predicted_name": "dog",
        "p_value": 0.01,
        "scores": {"ibd-psc": 0.99},
        "flagged_by": ["ibd-psc"],
        "error": None,
    }
    assert (lines[1]["path"], lines[1]["score"]) == (NASTY, None)
    assert (lines[2]["flagged"], lines[2]["error"]) == (None, "truncated")


def test_a_spreadsheet_gets_a_column_for_each_screener_and_no_formula() -> None:
    both = Image("a.png", 0.5, scores={"ibd-psc": 0.5, "scale-up": 0.25})
    text = written("csv", [both, Image(NASTY)], ("ibd-psc", "scale-up"))
    head, first, second, bad = list(csv.reader(io.StringIO(text)))
    assert head[-3:] == ["ibd-psc score", "scale-up score", "error"]
    assert first == ["a.png", "0.5", "false", "3", "cat", "0.5", "0.5", "0.25", ""]
    assert second[0].startswith("'=cmd")
    assert bad == ["in/bad.png", *[""] * 7, "truncated"]
    text.encode("utf-8")
    assert len(text.splitlines()) == 4
    assert {"\x1b", "\u202e"} & set(text) == set()
