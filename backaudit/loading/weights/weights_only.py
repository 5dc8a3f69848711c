"""The one place that unpickles anything: torch's reader that refuses all code."""

import argparse
import collections
import io
import pathlib
import pickle
import struct
import warnings
from typing import Any

import numpy as np
import torch

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.archives.zip_headers import DAMAGED
from backaudit.files.opened import OpenedFile

# What damage makes the reader raise, by kind of error and by words.
BROKEN = (EOFError, IndexError, KeyError, UnicodeError, struct.error)
TRUNCATED = (
    *("central directory", "corrupted", "header", "incomplete metadata", "invalid magic"),
    *("miniz", "pytorchstreamreader", "ran out of input", "truncated", "unexpected eof"),
)


class UnreadableByTorchError(Exception):
    """The file names a class, or has an opcode, that torch's restricted reader does not know."""


def load_weights_only(file: OpenedFile, *, mapped: bool) -> object:
    """Read a torch file with nothing but tensors, plain values and inert extras.

    Args:
        file: the very bytes that others read.
        mapped: whether its tensors look at those bytes where the system allows it; else they are
            copied.

    Raises:
        UnreadableByTorchError: if torch refuses a class or an opcode in it.
        CheckpointError: if it cannot be read for any other reason.
    """
    try:
        with torch.serialization.safe_globals(_inert()), warnings.catch_warnings():
            # What a file makes torch warn of is said better when its tensors are checked.
            warnings.simplefilter("ignore")
            return torch.load(  # noqa: TID251
                file.copy or io.BytesIO(file.data),
                map_location="cpu",
                weights_only=True,
                mmap=mapped and file.copy is not None,
            )
    except pickle.UnpicklingError as error:
        raise UnreadableByTorchError from error
    except Exception as error:
        # A damaged or hostile pickle can make its reader raise anything.
        raise CheckpointError(_condensed(error)) from error


def _condensed(error: Exception) -> str:
    text = str(error)
    if isinstance(error, BROKEN) or any(word in text.lower() for word in TRUNCATED):
        return DAMAGED
    return f"cannot be read ({printable(f'{type(error).__name__}: {text}', limit=120)})"


def _inert() -> list[Any]:
    """What honest checkpoints hold besides tensors; all it can do is keep a value."""
    plain = (int, float, str, list, dict, set)
    rebuilders = {
        "scalar": np.float64(0).__reduce__()[0],
        "_reconstruct": np.zeros(1).__reduce__()[0],
    }
    return [
        *(argparse.Namespace, collections.OrderedDict),
        (_without_default, "collections.defaultdict"),
        *((kind, f"builtins.{kind.__name__}") for kind in plain),
        (int, "__builtin__.long"),
        # Paths lose what reaches the file system; Python 3.13 has them in another module.
        *(
            (kind, f"{module}.{pure}{kind.__name__.removeprefix('Pure')}")
            for kind in (pathlib.PurePosixPath, pathlib.PureWindowsPath)
            for pure in ("", "Pure")
            for module in ("pathlib", "pathlib._local")
        ),
        *(np.dtype, np.ndarray, *{type(np.dtype(kind)) for kind in "?bhilqBHILQefdUO"}),
        # Old and new names of the same modules.
        *(
            (rebuilder, f"numpy.{core}.multiarray.{name}")
            for name, rebuilder in rebuilders.items()
            for core in ("core", "_core")
        ),
    ]


def _without_default(*_factory: object) -> dict[object, object]:
    """Stand in for ``defaultdict``, which torch's restricted unpickler cannot fill."""
    return {}
