import json
from dataclasses import replace
from pathlib import Path

import pytest

from backaudit.bench.trials.results import Key, read_results
from backaudit.core.errors import SettingError

KEY = Key("model", "ban", 2, {"checkpoint": "ab12", "settings": {"restarts": 4}})
OTHER = replace(KEY, identity={"checkpoint": "ab12", "settings": {"restarts": 8}})


def test_what_is_written_is_found_again(tmp_path: Path) -> None:
    assert KEY.find(tmp_path) is None
    written = KEY.write(tmp_path / "new", {"outcome": {"score": 0.5}})
    assert written == KEY.find(tmp_path / "new")
    assert written["outcome"] == {"score": 0.5}
    assert (written["model"], written["method"], written["seed"]) == ("model", "ban", 2)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.ban.seed2.json"]


def test_another_identity_overwrites_nothing(tmp_path: Path) -> None:
    first = KEY.write(tmp_path, {"outcome": 1})
    assert OTHER.find(tmp_path) is None
    second = OTHER.write(tmp_path, {"outcome": 2})
    assert (KEY.find(tmp_path), OTHER.find(tmp_path)) == (first, second)
    assert len(list(tmp_path.iterdir())) == 2
    assert sorted(each["outcome"] for each in read_results(tmp_path)) == [1, 2]


def test_the_same_trial_made_again_replaces_its_result(tmp_path: Path) -> None:
    for key in (KEY, OTHER):
        key.write(tmp_path, {"outcome": "crashed"})
        key.write(tmp_path, {"outcome": "read"})
    assert [each["outcome"] for each in read_results(tmp_path)] == ["read", "read"]


def test_numbers_that_json_lacks_are_null(tmp_path: Path) -> None:
    KEY.write(tmp_path, {"score": float("nan")})
    assert json.loads((tmp_path / "model.ban.seed2.json").read_text())["score"] is None


@pytest.mark.parametrize("text", ["{", "[]", '{"score": 1}'])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.ban.seed2.json").write_text(text)
    with pytest.raises(SettingError, match=r"model\.ban\.seed2\.json"):
        KEY.find(tmp_path)


def test_other_files_of_the_folder_are_not_results(tmp_path: Path) -> None:
    (tmp_path / "detect.json").write_text("{}")
    assert list(read_results(tmp_path)) == []
