"""What reading a checkpoint safely costs beside torch's and safetensors' own readers.

Run from a source checkout, on an idle machine: ``python benchmarks/loading_speed.py``.
A ResNet-18 (45 MB) and a ViT-B/16 (350 MB) are written as a torch zip archive, as a legacy torch
archive and as safetensors; each is read by ``torch.load(weights_only=True)`` or
``safetensors.torch.load_file`` and by ``read_checkpoint``. Every reading has a process of its own,
which reads a tiny file of the same format first; the files are in the page cache. Some readers map
a file without looking at it, so the time until every tensor was summed is measured as well.
The digest (SHA-256), which the other readers do not take, is taken on a thread beside.
Prints JSON: seconds are medians.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import safetensors.torch
import torch
from torch import Tensor

from backaudit.loading.recognition.recognise import recognise
from backaudit.loading.weights.checkpoint import Checkpoint, read_checkpoint
from backaudit.nets.torchvision_models import torchvision_models

NETWORKS = ("resnet18", "vit_b_16")
FORMATS = ("torch-zip", "torch-legacy", "safetensors")
READERS = ("alone", "backaudit")


def main() -> None:
    """Measure all and print the medians, or, in a process of its own, measure one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7, help="readings of each kind")
    parser.add_argument("--one", nargs=3, metavar=("READER", "TINY", "FILE"))
    chosen = parser.parse_args()
    if chosen.one:
        reader, tiny, file = chosen.one
        print(json.dumps(_measure(reader, Path(tiny), Path(file))))
        return
    with TemporaryDirectory() as folder:
        measured = [
            _compared(network, form, Path(folder), chosen.times)
            for network in NETWORKS
            for form in FORMATS
        ]
    told = {"torch": torch.__version__, "cores": os.cpu_count(), "times": chosen.times}
    print(json.dumps({**told, "measured": measured}, indent=1))


def _compared(network: str, form: str, folder: Path, times: int) -> dict[str, object]:
    tiny, file = folder / f"tiny.{form}", folder / f"{network}.{form}"
    _write({"a.weight": torch.ones(2, 2)}, tiny, form)
    _write(torchvision_models().get_model(network).state_dict(), file, form)
    seconds: dict[str, list[dict[str, float]]] = {reader: [] for reader in READERS}
    for _ in range(times):
        for reader in READERS:
            command = [sys.executable, __file__, "--one", reader, str(tiny), str(file)]
            seconds[reader].append(json.loads(subprocess.check_output(command)))  # noqa: S603
    result: dict[str, object] = {
        "network": network,
        "format": form,
        "megabytes": round(file.stat().st_size / 1e6, 1),
    }
    medians = {
        reader: {name: median(each[name] for each in readings) for name in readings[0]}
        for reader, readings in seconds.items()
    }
    ratios = {
        f"ratio {name}": round(medians["backaudit"][name] / medians["alone"][name], 2)
        for name in ("read", "read and summed")
    }
    file.unlink()
    return result | ratios | {f"{reader} seconds": _rounded(medians[reader]) for reader in READERS}


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in seconds.items()}


def _write(state: dict[str, Tensor], file: Path, form: str) -> None:
    if form == "safetensors":
        safetensors.torch.save_file(state, file)
    else:
        torch.save(state, file, _use_new_zipfile_serialization=form == "torch-zip")


def _measure(reader: str, tiny: Path, file: Path) -> dict[str, float]:
    read = _reader(reader, file.suffix)
    read(tiny)
    start, used = time.perf_counter(), _processor_seconds()
    found = read(file)
    seconds = {
        "read": time.perf_counter() - start,
        "processor": _processor_seconds() - used,
    }
    state = found.state if isinstance(found, Checkpoint) else found
    for tensor in state.values():
        tensor.sum()
    seconds["read and summed"] = time.perf_counter() - start
    if isinstance(found, Checkpoint):
        start = time.perf_counter()
        recognise(found)
        seconds["recognise"] = time.perf_counter() - start
        seconds["read and recognise"] = seconds["read"] + seconds["recognise"]
        start = time.perf_counter()
        hashlib.sha256(file.read_bytes()).hexdigest()
        seconds["digest alone"] = time.perf_counter() - start
    return seconds


def _processor_seconds() -> float:
    """Of this process and of those that it waited for, the digest's thread included."""
    return sum(os.times()[:4])


def _reader(reader: str, suffix: str) -> Callable[[Path], Checkpoint | dict[str, Tensor]]:
    if reader == "backaudit":
        return read_checkpoint
    if suffix == ".safetensors":
        return safetensors.torch.load_file
    return partial(torch.load, map_location="cpu", weights_only=True)  # noqa: TID251


if __name__ == "__main__":
    main()
