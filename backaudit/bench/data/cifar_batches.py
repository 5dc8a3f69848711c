"""The folder ``cifar-10-batches-py`` as it is distributed: pickles, read without unpickling."""

from math import prod
from pathlib import Path

import torch
from torch import Tensor

from backaudit.core.errors import CheckpointError, CleanSetError
from backaudit.files.pickles.machine import run
from backaudit.files.pickles.torch_types import finish, rebuild
from backaudit.files.records import TensorRecord, out_of_bounds

TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
NAMES = "batches.meta"
SHAPE = (3, 32, 32)
CLASSES = 10


def is_batches(folder: Path) -> bool:
    """Whether a folder holds CIFAR-10's batches for Python."""
    return (folder / TRAIN[0]).is_file()


def read_batch(file: Path) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) uint8 and labels (N,) int64 of one batch.

    Raises:
        CleanSetError: if it cannot be read, or is no batch.
    """
    content = _content(file)
    record, labels = content.get("data"), content.get("labels")
    if not isinstance(record, TensorRecord) or not isinstance(labels, list):
        raise CleanSetError(f"{file} is no batch of CIFAR-10: it lacks images or labels")
    if record.dtype != "uint8" or record.shape != (len(labels), prod(SHAPE)):
        raise CleanSetError(f"{file} is no batch of CIFAR-10: its images are of another shape")
    if out_of_bounds(record) or any(label not in range(CLASSES) for label in labels):
        raise CleanSetError(f"{file} is damaged; download CIFAR-10 again")
    numbers = torch.frombuffer(bytearray(record.storage.read()), dtype=torch.uint8)
    images = numbers.as_strided(record.shape, record.stride, record.offset)
    return images.reshape(-1, *SHAPE).contiguous(), torch.tensor(labels)


def read_names(folder: Path) -> tuple[str, ...]:
    """The names of the ten classes; their numbers if the file that holds them is missing.

    Raises:
        CleanSetError: if that file cannot be read.
    """
    file = folder / NAMES
    if not file.is_file():
        return tuple(map(str, range(CLASSES)))
    names = _content(file).get("label_names")
    listed = tuple(map(str, names)) if isinstance(names, list) else ()
    if len(listed) != CLASSES:
        raise CleanSetError(f"{file} does not name the classes of CIFAR-10")
    return listed


def _content(file: Path) -> dict[object, object]:
    try:
        pickled = run(memoryview(file.read_bytes()), rebuild=rebuild, finish=finish)
    except (OSError, CheckpointError) as error:
        raise CleanSetError(f"{file} cannot be read: {error}") from error
    if pickled.problem or not isinstance(pickled.value, dict):
        raise CleanSetError(f"{file} cannot be read as a batch of CIFAR-10")
    return pickled.value
