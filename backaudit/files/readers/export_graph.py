"""The JSON of a program of ``torch.export`` -> its calls; texts in it are never evaluated."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.archives.zip_headers import DAMAGED
from backaudit.files.graphs.export_program import ExportNode, ExportProgram, GraphName, NumberType

# Numbers of types in these files; another count than that of TorchScript.
TYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
    13: "bfloat16",
}
PLAIN = frozenset(
    (
        *("as_int", "as_ints", "as_floats", "as_string", "as_strings", "as_bool"),
        *("as_bools", "as_int_lists", "as_float_lists"),
    )
)
# Say where a tensor lies and how; networks are audited where the auditor wants them.
LEFT_OUT = frozenset(("as_none", "as_memory_format", "as_layout", "as_device"))
# What an input may be -> what its tensor is called.
TENSORS = {
    "parameter": "parameter_name",
    "buffer": "buffer_name",
    "tensor_constant": "tensor_constant_name",
}
KEYWORD = 2


def read_program(document: Any) -> ExportProgram:
    """Take the graph out of the JSON document.

    Raises:
        CheckpointError: if it has other parts than a network of tensors needs, or is damaged.
    """
    try:
        return _program(document["graph_module"])
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CheckpointError(f"holds a graph that cannot be read: it {DAMAGED}") from error


def _program(module: Mapping[str, Any]) -> ExportProgram:
    graph, signature = module["graph"], module["signature"]
    tensors: dict[str, str] = {}
    images: list[str] = []
    for spec in signature["input_specs"]:
        kind, value = _only(spec)
        if kind in TENSORS:
            tensors[_text(value["arg"]["name"])] = _text(value[TENSORS[kind]])
        elif kind == "user_input" and "as_tensor" in value["arg"]:
            images.append(_text(value["arg"]["as_tensor"]["name"]))
        else:
            raise CheckpointError(f"takes an input that is no tensor ({printable(kind)})")
    if len(images) != 1:
        raise CheckpointError(f"takes {len(images)} inputs, and not one of images")
    return ExportProgram(
        nodes=tuple(_node(node) for node in graph["nodes"]),
        image=images[0],
        sizes=tuple(map(_size, graph["tensor_values"][images[0]]["sizes"])),
        tensors=tensors,
        outputs=tuple(_outputs(signature["output_specs"])),
    )


def _outputs(specs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for spec in specs:
        kind, value = _only(spec)
        if kind != "user_output":
            raise CheckpointError(
                f"changes its own tensors when run ({printable(kind)}): "
                "call network.eval() and export it again"
            )
        if "as_tensor" in value["arg"]:
            yield _text(value["arg"]["as_tensor"]["name"])


def _node(node: Mapping[str, Any]) -> ExportNode:
    args, kwargs = [], {}
    for given in node["inputs"]:
        value = _value(given["arg"])
        if given.get("kind") == KEYWORD:
            kwargs[_text(given["name"])] = value
        else:
            args.append(value)
    outputs = [_only(output) for output in node["outputs"]]
    several = len(outputs) > 1 or any(kind == "as_tensors" for kind, _ in outputs)
    names = tuple(name for kind, value in outputs for name in _names(kind, value))
    return ExportNode(_text(node["target"]), tuple(args), kwargs, names, several)


def _names(kind: str, value: Any) -> Iterator[str]:
    if kind == "as_tensor":
        yield _text(value["name"])
    elif kind == "as_tensors":
        yield from (_text(each["name"]) for each in value)
    elif kind in ("as_sym_int", "as_sym_bool", "as_sym_float"):
        yield _text(value.get("as_name", ""))
    else:
        yield ""


def _value(arg: Mapping[str, Any]) -> object:
    kind, value = _only(arg)
    if kind in PLAIN:
        return value
    if kind in LEFT_OUT:
        return None
    if kind.startswith("as_sym_"):
        return [_symbol(each) for each in value] if kind.endswith("s") else _symbol(value)
    if kind not in VALUES:
        raise CheckpointError(f"uses an argument that is not supported ({printable(kind)})")
    return VALUES[kind](value)


def _float(value: object) -> float:
    """A number; the three that JSON lacks are spelled out."""
    if isinstance(value, str) and value not in ("Infinity", "-Infinity", "NaN"):
        raise TypeError
    if not isinstance(value, str | int | float):
        raise TypeError
    return float(value)


def _named(value: Mapping[str, Any]) -> GraphName | None:
    if "name" in value:
        return GraphName(_text(value["name"]))
    kind, inner = _only(value)
    return None if kind == "as_none" else GraphName(_text(inner["name"]))


def _symbol(value: Mapping[str, Any]) -> object:
    kind, inner = _only(value)
    return GraphName(_text(inner)) if kind == "as_name" else inner


def _size(size: Mapping[str, Any]) -> int | None:
    kind, value = _only(size)
    if kind != "as_int":
        return None
    if type(value) is not int:
        raise TypeError
    return value


def _only(tagged: Mapping[str, Any]) -> tuple[str, Any]:
    """The one entry of a union; older files have the others with nothing in them."""
    found = [(kind, value) for kind, value in tagged.items() if value is not None]
    if not found and "as_none" in tagged:
        return "as_none", None
    ((kind, value),) = found
    return kind, value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


VALUES: dict[str, Callable[[Any], object]] = {
    "as_float": _float,
    "as_scalar_type": lambda value: NumberType(TYPES[value]),
    "as_tensor": _named,
    "as_optional_tensor": _named,
    "as_tensors": lambda values: [_named(each) for each in values],
    "as_optional_tensors": lambda values: [_named(each) for each in values],
}
