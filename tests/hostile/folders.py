"""Hub folders and sharded files that lead elsewhere."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.hostile.assembler import pickled
from tests.hostile.case import LOADS, REFUSED, UNSAFE, Canary, Case
from tests.hostile.honest import torch_zip
from tests.hostile.safetensors_files import BIAS, DATA, WEIGHT, honest, written

KIND = "folders and shards"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = {"architecture": "resnet18", "num_classes": 2}
Write = Callable[[Path, Canary], object]


def _shards(folder: Path, first: str = FIRST, second: str = SECOND, total: object = 32) -> None:
    weight = {**WEIGHT, "data_offsets": [0, 24]}
    bias = {**BIAS, "data_offsets": [0, 8]}
    (folder / FIRST).write_bytes(written({"fc.weight": weight}, DATA[:24]))
    (folder / SECOND).write_bytes(written({"fc.bias": bias}, DATA[24:]))
    content = {
        "metadata": {"total_size": total},
        "weight_map": {"fc.weight": first, "fc.bias": second},
    }
    (folder / INDEX).write_text(json.dumps(content))


def _index(text: str) -> Write:
    def write(folder: Path, canary: Canary) -> None:
        _shards(folder)
        (folder / INDEX).write_text(text)

    return write


def _mapped(second: str) -> Write:
    def write(folder: Path, canary: Canary) -> None:
        _shards(folder, second=second)
        (folder.parent / "outside.safetensors").write_bytes((folder / SECOND).read_bytes())

    return write


def _repeated(folder: Path, canary: Canary) -> None:
    _shards(folder)
    (folder / SECOND).write_bytes((folder / FIRST).read_bytes())


def _hostile_shard(folder: Path, canary: Canary) -> None:
    _shards(folder)
    (folder / SECOND).write_bytes(torch_zip(canary.call))


def _hostile_beside(folder: Path, canary: Canary) -> None:
    """The hub's other serialisation lies beside honest safetensors."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "pytorch_model.bin").write_bytes(pickled(canary.call))


def _config(text: str) -> Write:
    def write(folder: Path, canary: Canary) -> None:
        (folder / "config.json").write_text(text.replace("CANARY", str(canary.path)))
        (folder / "model.safetensors").write_bytes(honest())

    return write


def _shadowing(folder: Path, canary: Canary) -> None:
    """Modules in the folder, named like those a loader imports."""
    _shards(folder)
    for name in ("torch", "numpy", "safetensors", "json", "onnx"):
        (folder / f"{name}.py").write_text(canary.source)
    (folder / "modeling.py").write_text(canary.source)


SHARDS: dict[str, tuple[Write, str, str]] = {
    "shard-parent": (_mapped("../outside.safetensors"), REFUSED, ""),
    "shard-absolute": (_mapped("/etc/hostname"), REFUSED, ""),
    "shard-missing": (_mapped("nothing.safetensors"), REFUSED, ""),
    "shard-is-the-index": (_mapped(INDEX), REFUSED, ""),
    "shard-repeats-another": (_repeated, REFUSED, ""),
    "shard-hostile": (_hostile_shard, UNSAFE, ""),
    "index-broken": (_index("{"), REFUSED, ""),
    "index-deep": (_index("[" * 200_000), REFUSED, ""),
    "index-of-numbers": (_index('{"weight_map": {"fc.weight": 3}}'), REFUSED, ""),
    "index-is-list": (_index("[]"), REFUSED, ""),
    "index-empty-map": (_index('{"weight_map": {}}'), REFUSED, ""),
    "index-without-map": (_index('{"metadata": {}}'), REFUSED, ""),
    "shadowing-modules": (_shadowing, LOADS, "ShadowPickle (arXiv 2607.17503)"),
    "shards-honest": (lambda folder, _: _shards(folder), LOADS, ""),
}
CONFIGS: dict[str, tuple[Write, str]] = {
    "config-broken": (_config("{"), REFUSED),
    "config-deep": (_config("[" * 200_000), REFUSED),
    "config-is-list": (_config("[1]"), REFUSED),
    "config-remote-code": (
        _config('{"architectures": ["A"], "auto_map": {"AutoModel": "CANARY--modeling.A"}}'),
        LOADS,
    ),
    "hostile-bin": (_hostile_beside, UNSAFE),
    "folder-without-weights": (
        lambda folder, _: (folder / "config.json").write_text(json.dumps(CONFIG)),
        REFUSED,
    ),
}


def _case(name: str, write: Write, expected: str, advisory: str, inner: str) -> Case:
    def build(folder: Path, canary: Canary) -> Path:
        path = folder / name
        path.mkdir()
        write(path, canary)
        return path / inner

    kind = "controls" if name.endswith("honest") else KIND
    return Case(name, kind, build, expected, advisory)


def cases() -> Iterator[Case]:
    """Sharded files are given by their index, hub folders by their path."""
    for name, (write, expected, advisory) in SHARDS.items():
        yield _case(name, write, expected, advisory, INDEX)
    for name, (write, expected) in CONFIGS.items():
        yield _case(name, write, expected, "", ".")
