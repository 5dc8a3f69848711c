from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from backaudit.core.errors import CheckpointError, OutputError
from backaudit.core.suspect import Suspect
from backaudit.loading.load import LoadOptions, load
from backaudit.loading.rewriting.rewrite import require_rewritable, rewrite
from tests.loading.rewriting.repairing import changed, clean_images, options, tint_net
from tests.loading.rewriting.test_onnx import TURNED, graph
from tests.loading.rewriting.test_source import twice
from tests.loading.saved_weights import packed, squeezed


def loaded(tmp_path: Path, dtype: torch.dtype = torch.float32) -> tuple[Suspect, LoadOptions]:
    state = {n: t.to(dtype) if t.dim() else t for n, t in tint_net().state_dict().items()}
    torch.save(state, tmp_path / "a.pt")
    given = options(tmp_path)
    return load(tmp_path / "a.pt", clean_images(tmp_path), given)[0], given


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        (torch.float32, float("nan"), "NaN or infinite"),
        (torch.float32, float("-inf"), "NaN or infinite"),
        (torch.float16, 1e5, "too large for the file's float16"),
    ],
)
def test_weights_that_no_file_should_hold(
    tmp_path: Path, dtype: torch.dtype, value: float, words: str
) -> None:
    suspect, given = loaded(tmp_path, dtype)
    network = changed(suspect.network)
    with torch.no_grad():
        network.get_parameter("network.fc.weight")[1, 2] = value
    before = files(tmp_path)
    with pytest.raises(OutputError, match=f"fc.weight are {words}"):
        rewrite(suspect, network, tmp_path / "b.pt", given, provenance={})
    assert files(tmp_path) == before


def test_one_number_changes_four_bytes_of_numbers(tmp_path: Path) -> None:
    suspect, given = loaded(tmp_path)
    network = deepcopy(suspect.network)
    with torch.no_grad():
        network.get_parameter("network.fc.weight")[1, 2] = -0.125
    written = rewrite(suspect, network, tmp_path / "b.pt", given, provenance={})
    assert written.changed == ("network.fc.weight",)
    one, other = ((tmp_path / name).read_bytes() for name in ("a.pt", "b.pt"))
    differing = [at for at, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1]]
    # The number, and its entry's checksum in two places.
    assert len(differing) <= 4 + 2 * 4
    assert torch.equal(
        written.suspect.network.get_parameter("network.fc.weight"),
        network.get_parameter("network.fc.weight"),
    )


def test_a_network_that_was_not_changed_gives_the_same_bytes(tmp_path: Path) -> None:
    suspect, given = loaded(tmp_path)
    network = deepcopy(suspect.network)
    written = rewrite(suspect, network, tmp_path / "b.pt", given, provenance={"a": "b"})
    assert written.changed == ()
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    assert written.suspect.sha256 == suspect.sha256
    assert written.suspect.path == tmp_path / "b.pt"


def test_compressed_archives_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(squeezed(packed(tint_net().state_dict())))
    given = options(tmp_path)
    suspect, _ = load(tmp_path / "a.pt", clean_images(tmp_path), given)
    with pytest.raises(CheckpointError, match=r"conv.weight, .* are compressed.*torch.save"):
        require_rewritable(suspect, tmp_path / "b.pt", given)
    with pytest.raises(CheckpointError, match="are compressed"):
        rewrite(suspect, changed(suspect.network), tmp_path / "b.pt", given, provenance={})


def test_numbers_among_other_fields_are_refused(tmp_path: Path) -> None:
    weight: Any = wide_weight()
    suspect, _ = load(graph(tmp_path / "a.onnx", [weight]), clean_images(tmp_path))
    with pytest.raises(CheckpointError, match="lie one by one among its other fields"):
        require_rewritable(suspect, tmp_path / "b.onnx")


def wide_weight() -> object:
    """Numbers of a type whose field is not read in place."""
    from onnx import TensorProto, helper

    return helper.make_tensor("w", TensorProto.DOUBLE, (3, 3), TURNED.flatten().tolist())


def test_tied_weights_are_refused_before_they_are_trained_apart(tmp_path: Path) -> None:
    suspect, given = twice(tmp_path, tied=True)
    with pytest.raises(CheckpointError, match=r"second.weight are stored once.*is a clone"):
        require_rewritable(suspect, tmp_path / "b.pt", given)


def test_another_network_is_refused(tmp_path: Path) -> None:
    suspect, given = loaded(tmp_path)
    with pytest.raises(OutputError, match="is no changed copy of the suspect's"):
        rewrite(suspect, nn.Linear(2, 2), tmp_path / "b.pt", given, provenance={})


def test_what_can_be_rewritten_is_let_pass_and_nothing_is_left(tmp_path: Path) -> None:
    suspect, given = loaded(tmp_path)
    before = files(tmp_path)
    require_rewritable(suspect, tmp_path / "b.pt", given)
    assert files(tmp_path) == before
    with pytest.raises(OutputError, match="is the original"):
        require_rewritable(suspect, tmp_path / "a.pt", given, force=True)


def test_weights_that_are_not_repaired_are_named(tmp_path: Path) -> None:
    state = tint_net().state_dict()
    copy = {name: tensor.clone() for name, tensor in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": copy}, tmp_path / "a.pt")
    given = options(tmp_path)
    suspect, _ = load(tmp_path / "a.pt", clean_images(tmp_path), given)
    written = rewrite(suspect, changed(suspect.network), tmp_path / "b.pt", given, provenance={})
    assert written.unrepaired == ("state_dict_ema",)
    saved = torch.load(tmp_path / "b.pt", weights_only=True)  # noqa: TID251
    assert torch.equal(saved["state_dict_ema"]["fc.weight"], copy["fc.weight"])
    assert not torch.equal(saved["state_dict"]["fc.weight"], copy["fc.weight"])
