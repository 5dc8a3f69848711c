"""From records to dense, finite float32 tensors; runs in a process of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.contents import Level, Survey
from backaudit.files.opened import OpenedFile
from backaudit.files.records import Storage, TensorRecord
from backaudit.loading.weights.beside import follow
from backaudit.loading.weights.dense import tensor_of
from backaudit.loading.weights.handover import Handed
from backaudit.loading.weights.mapping import first_byte
from backaudit.loading.weights.unwrap import Unwrapped
from backaudit.loading.weights.weights_only import UnreadableByTorchError, load_weights_only

TORCH_FORMATS = ("torch-zip", "torch-legacy")
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Wanted:
    """Tensors to be made.

    Args:
        survey: of the file.
        found: the records, all of which ``dense.check`` let pass.
    """

    survey: Survey
    found: Unwrapped


def distinct(records: Mapping[str, TensorRecord]) -> dict[TensorRecord, str]:
    """The first name of each tensor; tied weights have several."""
    first: dict[TensorRecord, str] = {}
    for name, record in records.items():
        first.setdefault(record, name)
    return first


def tensors_of(wanted: Wanted) -> Handed:
    """Make each tensor once, under its first name: float32 if floating-point, and finite.

    What torch's restricted reader can read, it reads, and must find what the survey found, bit by
    bit. Of everything else (whole networks, other formats) the tensors are made from the survey.

    Raises:
        CheckpointError: if a weight is NaN or infinite, or the two readers disagree.
    """
    file = _file_of_torch(wanted)
    loaded = _by_torch(wanted, file) if file is not None else None
    first = distinct(wanted.found.state)
    mapped_at = _mapped_at(loaded or {}, wanted.found)
    read = cache(Storage.read)
    tensors = {}
    for name, record in wanted.found.state.items():
        tensor = tensor_of(record, read)
        if loaded is not None and not _is_in_place(loaded[name], record, mapped_at):
            _require_same_numbers(loaded[name], tensor)
        if first[record] == name:
            tensors[name] = _checked(name, tensor)
    return Handed(tensors)


def _file_of_torch(wanted: Wanted) -> OpenedFile | None:
    """The one file of torch's that holds it all; None for whole networks and unknown names."""
    harmless = all(use.level is Level.HARMLESS for use in wanted.survey.contents.uses)
    if wanted.survey.format not in TORCH_FORMATS or not harmless or wanted.found.module:
        return None
    first, *more = _files(wanted.found) or [None]
    alone = first is not None and not more and first.path == wanted.survey.path
    return first if alone else None


def _files(found: Unwrapped) -> set[OpenedFile]:
    files = (record.storage.file for record in found.state.values())
    return {file for file in files if file is not None}


def _by_torch(wanted: Wanted, file: OpenedFile) -> dict[str, Tensor] | None:
    """What torch reads, compared with the records; None if it cannot read the file."""
    survey, found = wanted.survey, wanted.found
    packed = any(record.storage.deflated is not None for record in found.state.values())
    try:
        saved = load_weights_only(file, mapped=survey.format == "torch-zip" and not packed)
    except UnreadableByTorchError:
        return None
    loaded = _named(saved, found.wrapper, Tensor)
    if loaded.keys() != _named(survey.contents.saved, found.wrapper, TensorRecord).keys():
        raise CheckpointError(_disagree("names"))
    tensors = {name: loaded[found.prefix + name].detach() for name in found.state}
    for name, record in found.state.items():
        _require_same_form(name, tensors[name], record)
    return tensors


def _named(saved: object, wrapper: tuple[str, ...], kind: type) -> dict[str, Any]:
    try:
        return {n: each for n, each in follow(saved, wrapper).items() if isinstance(each, kind)}
    except (LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(_disagree("names")) from error


def _disagree(about: str) -> str:
    return f"shows two readers different tensors ({about}): it is damaged or built to deceive"


def _require_same_form(name: str, tensor: Tensor, record: TensorRecord) -> None:
    form = (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), tensor.stride())
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_neg()
    if not plain or form != (record.dtype, tuple(record.shape), tuple(record.stride)):
        raise CheckpointError(_disagree(f"the form of {printable(name)!r}"))


def _mapped_at(loaded: Mapping[str, Tensor], found: Unwrapped) -> int | None:
    """Address of the file's first byte, if torch mapped it and the system tells where."""
    for name, tensor in loaded.items():
        file = found.state[name].storage.file
        if file is not None and tensor.numel():
            return first_byte(file, tensor.data_ptr())
    return None


def _is_in_place(loaded: Tensor, record: TensorRecord, mapped_at: int | None) -> bool:
    """Whether a tensor looks at the very bytes of the file that a record tells of."""
    storage = record.storage
    if mapped_at is None or storage.file is None or storage.deflated is not None:
        return False
    offset = storage.start + record.offset * loaded.element_size()
    return loaded.data_ptr() == mapped_at + offset


def _require_same_numbers(loaded: Tensor, told: Tensor) -> None:
    if not torch.equal(_bits(loaded), _bits(told)):
        raise CheckpointError(_disagree("their numbers"))


def _bits(tensor: Tensor) -> Tensor:
    """The same numbers as integers, among which NaN equals itself."""
    return tensor.view(BITS[tensor.element_size()])


def _checked(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    tensor = tensor.float()
    # The extremes tell without a copy of the tensor.
    if tensor.numel() and not torch.stack(tensor.aminmax()).isfinite().all():
        wrong = int((~tensor.isfinite()).sum())
        raise CheckpointError(
            f"has NaN or infinite weights: {wrong} of {tensor.numel()} values of "
            f"{printable(name)!r}, the first such tensor; training diverged or the file is damaged"
        )
    return tensor
