import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from backaudit.core.errors import NotApplicableError, OutputError, SettingError
from backaudit.firewall import export
from backaudit.firewall.calibration_file import CalibrationFile
from backaudit.firewall.export import export_guarded
from backaudit.firewall.guarded import GuardedNetwork, guard
from backaudit.loading.prepared import prepared_of
from tests.firewall.guards import calibration, new_images, own_network, suspect_with

SIZES = (1, 3, 128)
# Runs where backaudit cannot be imported, in a folder with the program and images.
STRANGER = """
import sys, torch
sys.modules["backaudit"] = None
extra = {"backaudit.json": ""}
run = torch.export.load("guarded.pt2", extra_files=extra).module()
found = [run(images) for images in torch.load("images.pt")]
torch.save({"found": found, "about": extra["backaudit.json"]}, "found.pt")
"""


def guarded(network: nn.Module | None = None) -> GuardedNetwork:
    return guard(suspect_with(network or own_network()).network, calibration())


def assert_same(found: list[Tensor], right: GuardedNetwork, images: Tensor) -> None:
    wanted = right.screen(images)
    logits, flagged, scores = found
    assert torch.equal(flagged, wanted.flagged)
    assert torch.allclose(logits, wanted.logits, rtol=0, atol=1e-4)
    assert torch.allclose(scores, wanted.scores, rtol=0, atol=1e-4)


def test_a_program_answers_the_same_where_backaudit_is_missing(tmp_path: Path) -> None:
    network = own_network()
    # As a checkpoint's file holds it: among other bytes, which have no business in the program.
    network[-1].bias = nn.Parameter(
        torch.cat([network[-1].bias, torch.full((9999,), 7.0)])[:6], requires_grad=False
    )
    right = guarded(network)
    export_guarded(right, tmp_path / "guarded.pt2")
    batches = [new_images(size) for size in SIZES]
    torch.save(batches, tmp_path / "images.pt")
    subprocess.run([sys.executable, "-c", STRANGER], check=True, cwd=tmp_path)  # noqa: S603
    answers = torch.load(tmp_path / "found.pt")  # noqa: TID251 - written above
    for images, found in zip(batches, answers["found"], strict=True):
        assert_same(found, right, images)
    assert 0 < int(found[1].sum()) < 128
    assert json.loads(answers["about"]) == right.about
    data = (tmp_path / "guarded.pt2").read_bytes()
    assert str(Path(export.__file__).parent).encode() not in data
    assert torch.full((99,), 7.0).numpy().tobytes() not in data


def test_an_onnx_model_answers_the_same(tmp_path: Path) -> None:
    right = guarded()
    export_guarded(right, tmp_path / "guarded.onnx")
    made = onnx.load(tmp_path / "guarded.onnx")
    run = ReferenceEvaluator(made)
    for size in SIZES:
        images = new_images(size)
        found = run.run(["logits", "flagged", "scores"], {"images": images.numpy()})
        assert_same([torch.from_numpy(each) for each in found], right, images)
    assert {each.key: each.value for each in made.metadata_props} == right.about
    dims = made.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in dims] == ["batch", 3, 12, 12]
    assert str(Path(export.__file__).parent).encode() not in made.SerializeToString()


def test_an_existing_file_is_kept_unless_forced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "program_of", lambda _: b"new")
    file = tmp_path / "guarded.pt2"
    file.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists"):
        export_guarded(guarded(), file)
    assert file.read_bytes() == b"old"
    export_guarded(guarded(), file, force=True)
    assert file.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["guarded.pt2"]


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"must end in \.onnx or \.pt2"):
        export_guarded(guarded(), tmp_path / "guarded.pt")


def test_what_onnx_takes_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda _: None)
    with pytest.raises(SettingError, match=r"pip install 'backaudit\[export\]'"):
        export_guarded(guarded(), tmp_path / "guarded.onnx")


class Deciding(nn.Module):
    """Cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = own_network()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.inner(images)
        return logits if images.mean() > -1e9 else -logits


def test_a_network_that_cannot_be_traced_is_refused(tmp_path: Path) -> None:
    suspect = suspect_with(Deciding().eval())
    chosen = calibration().calibrations[0]
    layers = [f"network.inner.{name.removeprefix('network.')}" for name in chosen.fit["layers"]]
    named = replace(chosen, fit={**chosen.fit, "layers": layers})
    file = CalibrationFile(prepared_of(suspect), (named,))
    for name in ("guarded.pt2", "guarded.onnx"):
        with pytest.raises(NotApplicableError, match=r"torch\.fx cannot trace the network"):
            export_guarded(guard(suspect.network, file), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
