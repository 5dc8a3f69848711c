"""TorchScript and torch.export archives with one thing changed."""

import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from tests.hostile.assembler import pickled
from tests.hostile.case import LOADS, REFUSED, UNSAFE, Canary, Case, file_case
from tests.hostile.zips import Entry, zipped

SCRIPT, EXPORT = "torchscript", "torch.export"
Changed = Mapping[str, bytes]
Change = Callable[[dict[str, bytes], Canary], Changed]


@cache
def scripted() -> dict[str, bytes]:
    """The members of a traced network."""
    import torch

    network, example = _network(), torch.zeros(1, 3, 8, 8)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, example), buffer)
    return _members(buffer)


@cache
def exported() -> dict[str, bytes]:
    """The members of an exported network."""
    import torch

    network, example = _network(), torch.zeros(1, 3, 8, 8)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.export(network, (example,)), buffer)
    return _members(buffer)


def _network() -> Any:
    import torch
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251
        pooled = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
        return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), *pooled).eval()


def _members(buffer: io.BytesIO) -> dict[str, bytes]:
    with zipfile.ZipFile(buffer) as archive:
        return {name: _still(name, archive.read(name)) for name in archive.namelist()}


def _still(name: str, data: bytes) -> bytes:
    """A member without the places in source code that called torch, which differ each time."""
    if name.endswith(".debug_pkl"):
        return pickled(())
    return re.sub(rb'"stack_trace": "(\\.|[^"\\])*"', b'"stack_trace": ""', data)


def packed(members: Changed) -> bytes:
    """An archive of members."""
    return zipped(*(Entry(name, data) for name, data in members.items()))


def _named(members: Changed, end: str) -> str:
    # Torch numbers the sources of classes that it compiled before.
    plain = {re.sub(r"/___torch_mangle_\d+\.py$", ".py", name): name for name in members}
    return next(plain[name] for name in plain if name.endswith(end))


def _code(replace: str, by: str, end: str = "container.py") -> Change:
    def change(members: dict[str, bytes], canary: Canary) -> Changed:
        name = _named(members, end)
        text = members[name].decode()
        assert replace in text
        written = by.replace("CANARY", str(canary.path))
        return {name: text.replace(replace, written).encode()}

    return change


def _pickle(end: str) -> Change:
    return lambda members, canary: {_named(members, end): pickled(canary.call)}


def _member(name: str, data: bytes) -> Change:
    return lambda members, canary: {name: data}


RETURN = "return _6"


def _blocks() -> str:
    """Blocks within blocks, more than Python's parser takes."""
    return "".join(" " * (depth and 4 + depth) + "if True:\n" for depth in range(150)) + "\n"


SCRIPTS: dict[str, tuple[Change, str]] = {
    "writes-a-file": (_code(RETURN, 'torch.save(input, "CANARY")\n    ' + RETURN), UNSAFE),
    "reads-a-file": (
        _code(RETURN, 'x = torch.from_file("/etc/hostname", False, 4)\n    ' + RETURN),
        UNSAFE,
    ),
    "calls-python": (_code(RETURN, 'ops.prim.PythonOp("os.system")\n    ' + RETURN), UNSAFE),
    "unknown-operator": (_code(RETURN, "x = ops.mylib.myop(input)\n    " + RETURN), REFUSED),
    "imports": (_code("class ", "import os\nclass "), LOADS),
    "python-source": (_member("archive/code/__torch__/more.py", b"__import__('os')"), LOADS),
    "endless-loop": (_code(RETURN, "while True:\n      x = input\n    " + RETURN), REFUSED),
    "recursion": (_code(RETURN, "return self.forward(input, )"), REFUSED),
    **{
        f"deep-{name}": (_code(RETURN, f"x = {text}\n    {RETURN}"), REFUSED)
        for name, text in {
            "brackets": "(" * 100_000,
            "signs": "-" * 100_000 + "1",
            "attributes": "self" + ".a" * 100_000,
            "calls": "self" + "()" * 100_000,
            "indices": "self" + "[0]" * 100_000,
            "sums": "1" + "+1" * 100_000,
            "comparisons": "1" + "<1" * 100_000,
            "lambdas": "lambda: " * 50_000 + "1",
            "ternaries": "1 if 1 else " * 50_000 + "1",
            "formatted": "f'{1:{1:{1}}}'",
        }.items()
    },
    "deep-blocks": (_code(RETURN, _blocks() + f"    {RETURN}"), REFUSED),
    "null-byte": (_code(RETURN, "x = '\0'\n    " + RETURN), REFUSED),
    "encoding": (_code("class ", "# coding: utf-7\nclass "), LOADS),
    "closed-brackets": (_code(RETURN, f"x = {'(' * 150}1{')' * 150}\n    {RETURN}"), LOADS),
    "long-text": (_code(RETURN, "x = " + "'a' " * 10_000 + "\n    " + RETURN), LOADS),
    "huge-number": (_code(RETURN, "x = " + "9" * 100_000 + "\n    " + RETURN), REFUSED),
    "pickle": (_pickle("archive/data.pkl"), UNSAFE),
    "constants": (_pickle("archive/constants.pkl"), UNSAFE),
    "debug-pickle": (_pickle(".debug_pkl"), UNSAFE),
    "traced-inputs": (_pickle("traced_inputs.pkl"), UNSAFE),
    "no-code": (lambda members, _: dict.fromkeys(_all(members, "/code/")), REFUSED),
}


def _all(members: Changed, part: str) -> list[str]:
    return [name for name in members if part in name]


def _json(end: str, change: Callable[[Any], None]) -> Change:
    def changed(members: dict[str, bytes], canary: Canary) -> Changed:
        name = _named(members, end)
        content = json.loads(members[name])
        change(content)
        return {name: json.dumps(content).encode()}

    return changed


def _target(name: str) -> Change:
    return _json("model.json", lambda content: _nodes(content)[0].update(target=name))


def _nodes(content: Any) -> Any:
    return content["graph_module"]["graph"]["nodes"]


def _first(content: Any) -> Any:
    return next(iter(content["config"].values()))


def _sizes(*sizes: int) -> Change:
    written = [{"as_int": size} for size in sizes]
    return _json(
        "model_weights_config.json",
        lambda content: _first(content)["tensor_meta"].update(sizes=written),
    )


def _weight(**changed: object) -> Change:
    return _json("model_weights_config.json", lambda content: _first(content).update(changed))


def _cyclic(content: Any) -> None:
    nodes = _nodes(content)
    nodes[0]["inputs"][0]["arg"] = {"as_tensor": {"name": nodes[-1]["name"]}}


EXPORTS: dict[str, tuple[Change, str]] = {
    "reads-a-file": (_target("torch.ops.aten.from_file.default"), UNSAFE),
    "unknown-operator": (_target("torch.ops.mylib.myop.default"), REFUSED),
    "python-function": (_target("os.system"), REFUSED),
    "attribute-chain": (_target("torch.ops.aten.__class__.__mro__"), REFUSED),
    "cycle": (_json("model.json", _cyclic), REFUSED),
    "no-nodes": (_json("model.json", lambda content: _nodes(content).clear()), REFUSED),
    "broken-json": (_member("archive/models/model.json", b'{"graph_module": '), REFUSED),
    "deep-json": (_member("archive/models/model.json", b"[" * 200_000), REFUSED),
    "list-json": (_member("archive/models/model.json", b"[]"), REFUSED),
    "huge-number": (_member("archive/models/model.json", b'{"a": ' + b"9" * 10**6 + b"}"), REFUSED),
    "sample-inputs": (_pickle("sample_inputs/model.pt"), UNSAFE),
    "weight-outside": (_weight(path_name="../../outside"), REFUSED),
    "weight-absolute": (_weight(path_name="/etc/hostname"), REFUSED),
    "weight-missing": (_weight(path_name="weight_99"), REFUSED),
    "weight-pickled": (_weight(use_pickle=True), REFUSED),
    "weight-huge": (_sizes(2**40, 2**40), REFUSED),
    "weight-negative": (_sizes(-2, -3), REFUSED),
}


def _case(name: str, source: Callable[[], dict[str, bytes]], change: Change, *more: str) -> Case:
    expected, kind, suffix = more

    def content(canary: Canary) -> bytes:
        members = source()
        changed = {**members, **change(members, canary)}
        return packed({each: data for each, data in changed.items() if data is not None})

    return file_case(name, kind, content, expected, "", suffix)


def cases() -> Iterator[Case]:
    """Changed programs, and the unchanged ones as controls."""
    for name, (change, expected) in SCRIPTS.items():
        yield _case(f"script-{name}", scripted, change, expected, SCRIPT, ".pt")
    for name, (change, expected) in EXPORTS.items():
        yield _case(f"export-{name}", exported, change, expected, EXPORT, ".pt2")
    unchanged: Change = lambda members, canary: {}  # noqa: E731
    yield _case("script-honest", scripted, unchanged, LOADS, "controls", ".pt")
    yield _case("export-honest", exported, unchanged, LOADS, "controls", ".pt2")
