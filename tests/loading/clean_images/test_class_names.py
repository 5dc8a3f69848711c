from pathlib import Path

import pytest

from backaudit.core.errors import CleanSetError, SettingError
from backaudit.loading.clean_images.class_names import class_names_in, read_class_names


@pytest.mark.parametrize(
    "text",
    [
        "cat\ndog\n\nbird\n",
        '["cat", "dog", "bird"]',
        '{"0": "cat", "1": "dog", "2": "bird"}',
        '{"bird": 2, "cat": 0, "dog": 1}',
        "\ufeffcat\r\ndog\r\nbird",
    ],
)
def test_names_are_read_in_the_order_of_the_outputs(tmp_path: Path, text: str) -> None:
    (tmp_path / "names").write_text(text, encoding="utf-8")
    assert read_class_names(tmp_path / "names", 3).names == ("cat", "dog", "bird")


@pytest.mark.parametrize(("text", "found"), [("cat\ndog", "2 names"), ("[1, 2, 3]", "no names")])
def test_another_number_of_names_is_refused(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "names").write_text(text)
    with pytest.raises(CleanSetError, match=f"{found}, but the network has 3"):
        read_class_names(tmp_path / "names", 3)


def test_missing_file_is_an_option_error(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--classes"):
        read_class_names(tmp_path / "nowhere", 3)


@pytest.mark.parametrize(
    "metadata",
    [
        {"classes": ["cat", "dog", "bird"]},
        {"config": {"id2label": {0: "cat", 1: "dog", 2: "bird"}}},
        {"class_to_idx": {"cat": 0, "dog": 1, "bird": 2}},
        {"class_names": '["cat", "dog", "bird"]'},
    ],
)
def test_checkpoints_name_their_outputs(metadata: dict[str, object]) -> None:
    names = class_names_in(metadata, 3)
    assert names is not None
    assert names.names == ("cat", "dog", "bird")
    assert not names.trusted


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"classes": ["cat", "dog"]},
        {"classes": 3},
        {"id2label": {0: "cat", 1: "dog", 5: "bird"}},
        {"labels": [0, 1, 2]},
        {"classes": "[" * 3000},
    ],
)
def test_metadata_that_name_something_else_are_ignored(metadata: dict[str, object]) -> None:
    assert class_names_in(metadata, 3) is None
