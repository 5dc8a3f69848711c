"""Pickles to run, and torch's files read by the machine alone."""

import io
import pickle
import zipfile
from typing import Any

from backaudit.files.contents import GlobalUse
from backaudit.files.pickles.machine import Pickled, run
from backaudit.files.pickles.torch_types import finish, rebuild, stored
from backaudit.files.records import ITEM_SIZES, Storage
from tests.files.samples import torch_bytes


class Archive:
    """The stored numbers of a zip archive, each read once."""

    def __init__(self, data: bytes) -> None:
        self.archive = zipfile.ZipFile(io.BytesIO(data))
        self.root = self.archive.namelist()[0].split("/")[0]
        self.made: dict[str, Storage] = {}

    def __call__(self, key: str, dtype: str, numel: int) -> Storage:
        data = self.archive.read(f"{self.root}/data/{key}")
        assert len(data) == numel * ITEM_SIZES.get(dtype, 1)
        return self.made.setdefault(key, Storage(None, 0, len(data), inline=data))


def executed(data: bytes, **options: Any) -> Pickled:
    return run(memoryview(data), rebuild=rebuild, finish=finish, **options)


def value_of(value: object, protocol: int = 2) -> Any:
    pickled = executed(pickle.dumps(value, protocol))
    assert pickled.problem == ""
    return pickled.value


def saved(value: object) -> Any:
    """What the machine makes of what torch saves."""
    archive = Archive(torch_bytes(value))
    data = archive.archive.read(f"{archive.root}/data.pkl")
    pickled = executed(data, persistent=stored(archive))
    assert pickled.problem == ""
    return pickled.value


def only(pickled: Pickled) -> GlobalUse:
    (use,) = pickled.uses
    return use
