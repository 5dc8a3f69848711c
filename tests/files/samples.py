"""Files to survey, and what a survey says of them."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backaudit.files.contents import Survey
from backaudit.files.limits import USUAL, Limits
from backaudit.files.records import TensorRecord
from backaudit.files.survey import survey
from backaudit.files.walking import every_tensor

STATE: dict[str, Tensor] = OrderedDict(
    {
        "conv.weight": torch.arange(36.0).reshape(4, 1, 3, 3),
        "bn.running_mean": torch.ones(4),
        "bn.num_batches_tracked": torch.tensor(7),
        "fc.weight": torch.full((2, 4), 0.5),
    }
)


class Canary:
    """Would make a folder if it were loaded; no test may find that folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def torch_bytes(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def legacy_bytes(content: Any) -> bytes:
    return torch_bytes(content, _use_new_zipfile_serialization=False)


def repacked(data: bytes, changed: dict[str, bytes | None], **options: Any) -> bytes:
    """A torch archive with entries added, changed or (None) left out."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", **options) as new:
        members = {name: old.read(name) for name in old.namelist()}
        for name, content in (members | changed).items():
            if content is not None:
                new.writestr(name, content)
    return stream.getvalue()


def surveyed(tmp_path: Path, data: bytes, limits: Limits = USUAL) -> Survey:
    path = tmp_path / "file.png"
    path.write_bytes(data)
    return survey(path, limits)


def array(record: TensorRecord) -> np.ndarray[Any, Any]:
    """Numbers of a record, for the types that NumPy has."""
    kind = np.dtype(record.dtype)
    flat = np.frombuffer(record.storage.read(), kind)
    strides = [step * kind.itemsize for step in record.stride]
    return np.lib.stride_tricks.as_strided(flat[record.offset :], record.shape, strides)


def holds(saved: object, expected: dict[str, Tensor]) -> bool:
    """Whether what was saved holds the same tensors, number by number, under the same names."""
    records = dict(every_tensor(saved))
    return records.keys() == expected.keys() and all(
        np.array_equal(array(record), expected[name].numpy()) for name, record in records.items()
    )


def rules(found: Survey) -> set[str]:
    return {finding.rule.id for finding in found.contents.findings}


def messages(found: Survey) -> str:
    return " ".join(finding.message for finding in found.contents.findings)


def pickled(content: Any, protocol: int = 2) -> bytes:
    return pickle.dumps(content, protocol)
