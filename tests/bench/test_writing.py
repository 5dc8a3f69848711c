from pathlib import Path

import pytest

from backaudit.bench.writing import write_whole


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write_whole(tmp_path / "card", b"first")
    write_whole(tmp_path / "card", b"second")
    assert (tmp_path / "card").read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["card"]


def test_an_interruption_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    write_whole(tmp_path / "card", b"first")
    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "card", b"second")
    assert (tmp_path / "card").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["card"]
