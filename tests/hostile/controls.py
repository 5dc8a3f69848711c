"""Honest files of every kind people hand over; each must load."""

import argparse
import io
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.hostile.case import LOADS, Canary, Case, file_case
from tests.hostile.honest import honest_zip, legacy, legacy_state_dict, state_dict, torch_zip

KIND = "controls"


def _network() -> Any:
    import torch
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)
        )


def _saved(value: Any, **more: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(value, buffer, **more)
    return buffer.getvalue()


def _state(make: Callable[[Any], Any] = lambda tensor: tensor) -> dict[str, Any]:
    return {name: make(tensor) for name, tensor in _network().state_dict().items()}


def _tied() -> dict[str, Any]:
    state = _state()
    return {**state, "tied.weight": state["0.weight"]}


def _numpy() -> dict[str, Any]:
    import numpy as np

    extras = {"acc": np.float64(0.9), "epoch": np.int64(3), "curve": np.arange(3.0)}
    return {"state_dict": _state(), **extras}


def _training() -> dict[str, Any]:
    import torch

    network = _network()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    return {"net": network.state_dict(), "optimizer": optimiser.state_dict(), "epoch": 3}


SAVED: dict[str, Callable[[], bytes]] = {
    "state-dict": lambda: _saved(_network().state_dict()),
    "state-dict-legacy": lambda: _saved(
        _network().state_dict(), _use_new_zipfile_serialization=False
    ),
    "state-dict-protocol-4": lambda: _saved(_network().state_dict(), pickle_protocol=4),
    "state-dict-protocol-5": lambda: _saved(_network().state_dict(), pickle_protocol=5),
    "half": lambda: _saved(_state(lambda tensor: tensor.half())),
    "bfloat16": lambda: _saved(_state(lambda tensor: tensor.bfloat16())),
    "tied": lambda: _saved(_tied()),
    "numpy-scalars": lambda: _saved(_numpy()),
    "namespace": lambda: _saved(
        {"state_dict": _state(), "args": argparse.Namespace(lr=0.1, path=Path("a"))}
    ),
    "default-dict": lambda: _saved({"state_dict": _state(), "log": defaultdict(list, {"a": [1]})}),
    "training": lambda: _saved(_training()),
    "whole-module": lambda: _saved(_network()),
    "whole-module-legacy": lambda: _saved(_network(), _use_new_zipfile_serialization=False),
    "nested": lambda: _saved({"model": OrderedDict(_state()), "classes": ["a", "b"]}),
    "by-hand": honest_zip,
    "by-hand-legacy": lambda: legacy(legacy_state_dict()),
    "by-hand-protocol-4": lambda: torch_zip(state_dict(), 4),
}


def cases() -> Iterator[Case]:
    """Each saved by torch, or written as torch did."""
    for name, content in SAVED.items():
        yield file_case(f"honest-{name}", KIND, _once(content), LOADS)


def _once(content: Callable[[], bytes]) -> Callable[[Canary], bytes]:
    return lambda canary: content()
