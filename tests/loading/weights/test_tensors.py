import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.files.contents import Contents, Level, Survey
from backaudit.files.records import TensorRecord
from backaudit.files.survey import survey
from backaudit.loading.weights import tensors
from backaudit.loading.weights.tensors import Wanted, distinct, tensors_of
from backaudit.loading.weights.unwrap import unwrap
from backaudit.loading.weights.weights_only import UnreadableByTorchError
from tests.loading.records import record_of
from tests.loading.saved_weights import Exchanged

STATE: dict[str, Tensor] = {
    "conv.weight": torch.arange(36.0).reshape(4, 1, 3, 3),
    "conv.strided": torch.arange(6.0).reshape(2, 3).t(),
    "bn.num_batches_tracked": torch.tensor(7),
    "fc.weight": torch.full((2, 4), 0.5),
    "fc.empty": torch.empty(0, 4),
}
Change = Callable[[TensorRecord], TensorRecord]


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def surveyed(tmp_path: Path, request: pytest.FixtureRequest) -> Survey:
    path = tmp_path / "weights.pt"
    torch.save({"net": STATE}, path, _use_new_zipfile_serialization=request.param)
    return survey(path)


def wanted(surveyed: Survey, **changes: Change) -> Wanted:
    """What is wanted of a file, after changes to records as if the survey had been deceived."""
    saved: Any = surveyed.contents.saved
    changed = {name: change(saved["net"][name]) for name, change in changes.items()}
    contents = replace(surveyed.contents, saved={"net": saved["net"] | changed})
    return Wanted(replace(surveyed, contents=contents), unwrap(contents.saved))


def from_records(records: dict[str, TensorRecord]) -> dict[str, Tensor]:
    contents = Contents(saved=records)
    source = SimpleNamespace(sha256="")
    unread = Survey(Path("none"), "safetensors", 0, source, contents)
    return dict(tensors_of(Wanted(unread, unwrap(records))).tensors)


def same(found: dict[str, Tensor]) -> bool:
    return all(
        tensor.dtype == STATE[name].dtype and torch.equal(tensor, STATE[name])
        for name, tensor in found.items()
    )


def by_torch(monkeypatch: pytest.MonkeyPatch, read: Callable[..., object]) -> None:
    monkeypatch.setattr(tensors, "load_weights_only", read)


def refused(*_args: object, **_options: object) -> object:
    raise UnreadableByTorchError


def forbidden(*_args: object, **_options: object) -> object:
    raise AssertionError("torch was asked to read this")


def test_torch_reads_what_it_can_and_agrees(surveyed: Survey) -> None:
    found = tensors_of(wanted(surveyed)).tensors
    assert list(found) == list(STATE)
    assert same(dict(found))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where a file is mapped")
def test_numbers_that_lie_in_one_place_are_not_compared(
    surveyed: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[Tensor] = []
    monkeypatch.setattr(tensors, "_require_same_numbers", lambda one, _: compared.append(one))
    tensors_of(wanted(surveyed))
    filled = sum(1 for tensor in STATE.values() if tensor.numel())
    assert sum(1 for tensor in compared if tensor.numel()) == (
        0 if surveyed.format == "torch-zip" else filled
    )


def test_records_suffice_where_torch_refuses(
    surveyed: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_torch(monkeypatch, refused)
    assert same(dict(tensors_of(wanted(surveyed)).tensors))


def test_torch_is_not_asked_to_read_names_that_are_not_known(
    surveyed: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_torch(monkeypatch, forbidden)
    use = replace(surveyed.contents.uses[0], level=Level.UNKNOWN)
    contents = replace(surveyed.contents, uses=(use,))
    assert same(dict(tensors_of(wanted(replace(surveyed, contents=contents))).tensors))


def test_torch_is_not_asked_to_read_an_index(
    surveyed: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_torch(monkeypatch, forbidden)
    assert same(dict(tensors_of(wanted(replace(surveyed, path=Path("index.json")))).tensors))


@pytest.mark.parametrize(
    "change",
    [
        {"conv_weight": lambda record: replace(record, shape=(4, 9), stride=(9, 1))},
        {"conv_weight": lambda record: replace(record, dtype="int32")},
        {"conv_strided": lambda record: replace(record, stride=(2, 1))},
    ],
)
def test_another_form_is_refused(surveyed: Survey, change: dict[str, Change]) -> None:
    changes = {name.replace("_", "."): made for name, made in change.items()}
    with pytest.raises(CheckpointError, match=r"two readers different tensors .*form of 'conv"):
        tensors_of(wanted(surveyed, **changes))


def test_other_numbers_are_refused(surveyed: Survey) -> None:
    saved: Any = surveyed.contents.saved
    elsewhere = replace(saved["net"]["conv.weight"].storage, nbytes=32)

    def moved(record: TensorRecord) -> TensorRecord:
        return replace(record, storage=elsewhere)

    with pytest.raises(CheckpointError, match=r"two readers different tensors \(their numbers\)"):
        tensors_of(wanted(surveyed, **{"fc.weight": moved}))


def test_a_tensor_that_torch_would_exchange_is_refused(tmp_path: Path) -> None:
    shown, used = torch.ones(2, 2), torch.full((2, 2), 7.0)
    path = tmp_path / "weights.pt"
    torch.save({"net": {"a.weight": Exchanged(shown, used)}}, path)
    assert torch.equal(torch.load(path)["net"]["a.weight"], used)  # noqa: TID251
    with pytest.raises(CheckpointError, match="their numbers"):
        tensors_of(wanted(survey(path)))


def test_a_tensor_that_torch_would_negate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"net": {"a.weight": torch._neg_view(torch.ones(2, 2))}}, path)
    with pytest.raises(CheckpointError, match=r"the form of 'a.weight'"):
        tensors_of(wanted(survey(path)))


def test_every_name_of_a_tied_tensor_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tied = tmp_path / "weights.pt", torch.ones(2, 2)
    torch.save({"net": {"a.weight": tied, "b.weight": tied}}, path)
    asked = wanted(survey(path))
    assert list(tensors_of(asked).tensors) == ["a.weight"]
    other = {"net": {"a.weight": tied, "b.weight": torch.zeros(2, 2)}}
    by_torch(monkeypatch, lambda *_args, **_options: other)
    with pytest.raises(CheckpointError, match="their numbers"):
        tensors_of(asked)


@pytest.mark.parametrize(
    "read",
    [
        {"net": STATE | {"more.weight": torch.ones(1)}},
        {"net": {"conv.weight": STATE["conv.weight"]}},
        {"other": STATE},
        [STATE],
        3,
    ],
)
def test_other_names_are_refused(
    surveyed: Survey, monkeypatch: pytest.MonkeyPatch, read: object
) -> None:
    by_torch(monkeypatch, lambda *_args, **_options: read)
    with pytest.raises(CheckpointError, match=r"two readers different tensors \(names\)"):
        tensors_of(wanted(surveyed))


def test_both_readers_see_the_file_as_it_was(surveyed: Survey) -> None:
    asked = wanted(surveyed)
    surveyed.path.write_bytes(b"something else")
    assert same(dict(tensors_of(asked).tensors))


def test_nan_equals_itself_when_readers_are_compared(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    spoilt = {"a.weight": torch.tensor([[1.0, float("nan"), float("inf")]])}
    torch.save({"net": spoilt}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"2 of 3 values of 'a.weight'"):
        tensors_of(wanted(survey(path)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_become_float32_and_integers_stay(dtype: torch.dtype) -> None:
    records = {
        "a.weight": record_of(torch.ones(2, 2, dtype=dtype)),
        "a.count": record_of(torch.tensor(3)),
        "a.mask": record_of(torch.tensor([True, False])),
    }
    found = from_records(records)
    assert [tensor.dtype for tensor in found.values()] == [torch.float32, torch.int64, torch.bool]
    assert torch.equal(found["a.weight"], torch.ones(2, 2))


def test_what_overflows_float32_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"NaN or infinite weights: 4 of 4"):
        from_records({"a.weight": record_of(torch.full((2, 2), 1e300, dtype=torch.float64))})


def test_tied_tensors_are_made_once() -> None:
    record = record_of(torch.ones(2, 2))
    other = record_of(torch.zeros(2, 2))
    records = {"head.weight": record, "embed.weight": record, "fc.weight": other}
    assert list(distinct(records).values()) == ["head.weight", "fc.weight"]
    assert list(from_records(records)) == ["head.weight", "fc.weight"]
