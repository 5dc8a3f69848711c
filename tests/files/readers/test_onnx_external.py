import os
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto

from backaudit.core.errors import CheckpointError
from backaudit.files.limits import Limits
from backaudit.files.survey import survey
from tests.files.readers.test_onnx import WEIGHT, read_bytes, small
from tests.programs.onnx_graphs import read


def external(folder: Path, location: str = "weights.bin", **told: str) -> bytes:
    made = small()
    proto = made.graph.initializer[0]
    proto.ClearField("raw_data")
    proto.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **told}.items():
        proto.external_data.add(key=key, value=value)
    (folder / "weights.bin").write_bytes(b"\0" * 16 + WEIGHT.tobytes())
    return made.SerializeToString()


def test_external_weights_are_read_from_the_same_folder(tmp_path: Path) -> None:
    data = external(tmp_path, offset="16", length="160")
    contents: Any = read_bytes(data, tmp_path)
    assert bytes(contents.saved["w"].storage.read()) == WEIGHT.tobytes()
    assert [file.path.name for file in contents.files] == ["weights.bin"]


def test_size_and_digest_cover_external_weights(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(external(tmp_path, offset="16", length="160"))
    before = survey(file)
    assert before.size == file.stat().st_size + 176
    (tmp_path / "weights.bin").write_bytes(b"\1" * 176)
    assert survey(file).sha256 != before.sha256


def test_contents_may_claim_what_external_weights_hold(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(external(tmp_path, offset="16", length="160"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backaudit.files.limits.SLACK", -file.stat().st_size)
        assert survey(file, Limits(growth=1)).contents.problem == ""
        patch.setattr("backaudit.files.limits.SLACK", -file.stat().st_size - 17)
        assert "raise --max-gib" in survey(file, Limits(growth=1)).contents.problem


@pytest.mark.parametrize(
    "location",
    ["", ".", "..", "../weights.bin", "/etc/passwd", "a/weights.bin", "..\\w", "C:w", "w\0.bin"],
)
def test_external_weights_outside_the_folder_are_refused(location: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no plain file name"):
        read_bytes(external(tmp_path, location, offset="16"), tmp_path)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    outside, inside = tmp_path / "secret", tmp_path / "model"
    inside.mkdir()
    outside.write_bytes(b"\0" * 176)
    (inside / "link.bin").symlink_to(outside)
    with pytest.raises(CheckpointError, match="leaves its folder"):
        read_bytes(external(tmp_path, "link.bin"), inside)


def test_a_pipe_instead_of_weights_is_refused(tmp_path: Path) -> None:
    data = external(tmp_path, "pipe.bin")
    os.mkfifo(tmp_path / "pipe.bin")
    with pytest.raises(CheckpointError, match=r"'pipe.bin' beside it, which is not a regular"):
        read_bytes(data, tmp_path)


def test_missing_external_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'other.bin' beside it, which does not exist"):
        read_bytes(external(tmp_path, "other.bin"), tmp_path)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"offset": "17"}, "reaches outside"),
        ({"offset": "-1"}, "impossible offset"),
        ({"offset": "9" * 30}, "impossible offset"),
        ({"length": "100"}, "claims 160 bytes and has 100"),
    ],
)
def test_external_spans_must_fit(told: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=words):
        read_bytes(external(tmp_path, **told), tmp_path)


def test_weights_that_share_a_span_cannot_claim_more_than_the_files_hold(tmp_path: Path) -> None:
    made = small()
    del made.graph.initializer[:]
    (tmp_path / "weights.bin").write_bytes(b"\0" * 2**20)
    for index in range(100):
        proto = made.graph.initializer.add(
            name="w" if not index else f"w{index}", dims=[2**18], data_type=1, data_location=1
        )
        proto.external_data.add(key="location", value="weights.bin")
    with pytest.raises(CheckpointError, match="over the limit"):
        read(made, tmp_path)
