"""Values of torch, numpy and the standard library that checkpoints hold, made without them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from backaudit.files.pickles.known_names import (
    DTYPES,
    STORAGE_TYPES,
    UNUSUAL_TENSORS,
)
from backaudit.files.pickles.numpy_types import NUMPY, NUMPY_FINISHERS
from backaudit.files.pickles.plain_types import PLAIN, PLAIN_FINISHERS
from backaudit.files.pickles.values import Inert, Malformed, Reference, StoredNumbers
from backaudit.files.records import MOST_DIMENSIONS, Storage, TensorRecord

Args = tuple[Any, ...]
ALIASES = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "chalf": "complex32",
    "cfloat": "complex64",
    "cdouble": "complex128",
}
MODULE_PARTS = 4
# The last, a view, only before torch 1.6.
STORAGE_PARTS = (5, 6)
NOTHING = Storage(None, 0, 0)
# Attributes of a tensor that set its numbers.
EXCHANGING = ("data", "real", "imag")


def stored(storage: Callable[[str, str, int], Storage]) -> Callable[[object], object]:
    """What ``persistent`` of ``run`` needs for torch's zip and legacy files.

    Args:
        storage: (key, dtype, number of elements) -> bytes; ``CheckpointError`` if there are none.
            dtype is torch's name without ``torch.``; ``uint8`` and bytes for an untyped storage.
            Called once for each reference: return the same object for the same key.
    """

    def persistent(name: object) -> object:
        if not isinstance(name, tuple) or not name:
            raise Malformed
        if name[0] == "module" and len(name) == MODULE_PARTS:
            # A class of layers beside the file and the text that define it, before torch 1.6.
            return name[1]
        if name[0] != "storage" or len(name) not in STORAGE_PARTS:
            raise Malformed
        _, kind, key, _, numel, *view = name
        dtype = _storage_type(kind)
        if not isinstance(key, str) or type(numel) is not int or numel < 0:
            raise Malformed
        return StoredNumbers(dtype, storage(key, dtype or "uint8", numel), _view_start(view))

    return persistent


def _storage_type(kind: object) -> str:
    """Torch's name of the numbers; "" for bytes of no type."""
    if not isinstance(kind, Reference):
        raise Malformed
    if (kind.module, kind.name) == ("torch.storage", "UntypedStorage"):
        return ""
    if kind.module not in ("torch", "torch.cuda") or kind.name not in STORAGE_TYPES:
        raise Malformed("stores numbers of a type that is not known")
    return STORAGE_TYPES[kind.name]


def _view_start(view: list[Any]) -> int:
    """First element of a view of a storage, as torch before 0.4 could save one."""
    if not view or view[0] is None:
        return 0
    _, start, _ = view[0]
    if type(start) is not int or start < 0:
        raise Malformed
    return start


def rebuild(reference: Reference, args: Args) -> object:
    """Value of a call; ``NotImplemented`` for what has none."""
    maker = MAKERS.get((reference.module, reference.name))
    return NotImplemented if maker is None else maker(args)


def finish(made: Inert) -> object:
    """Value of an object whose state was set; the object itself if it has none."""
    kind = (made.of.module, made.of.name)
    finisher = FINISHERS.get(kind)
    return made if finisher is None else finisher(made)


def dtype_name(value: object) -> str:
    """Torch's name of a type of numbers, without aliases.

    Raises:
        Malformed: if it is none.
    """
    if not isinstance(value, Reference) or value.module != "torch" or value.name not in DTYPES:
        raise Malformed
    return ALIASES.get(value.name, value.name)


def _tensor(args: Args) -> TensorRecord:
    numbers, offset, shape, stride = args[:4]
    return _marked(_dense(numbers, offset, shape, stride), args[6:])


def _typed_tensor(args: Args) -> TensorRecord:
    numbers, offset, shape, stride, _, _, dtype = args[:7]
    return _marked(_dense(numbers, offset, shape, stride, dtype_name(dtype)), args[7:])


def _dense(numbers: Any, offset: Any, shape: Any, stride: Any, dtype: str = "") -> TensorRecord:
    if not isinstance(numbers, StoredNumbers):
        raise Malformed
    if max(len(shape), len(stride)) > MOST_DIMENSIONS:
        raise Malformed("has a tensor of an impossible number of dimensions: do not use it")
    sizes = (offset, *shape, *stride)
    if any(type(size) is not int for size in sizes):
        raise Malformed
    first = numbers.start + offset
    return TensorRecord(dtype or numbers.dtype, tuple(shape), tuple(stride), first, numbers.storage)


def _marked(record: TensorRecord, metadata: Args) -> TensorRecord:
    """Beside its numbers a tensor may say that they are to be negated or conjugated."""
    return replace(record, trouble="negated or conjugated") if any(metadata) else record


def _unusual(kind: str) -> Callable[[Args], TensorRecord]:
    return lambda args: TensorRecord("uint8", (), (), 0, NOTHING, trouble=kind)


def _parameter(args: Args) -> object:
    data = args[0]
    return data if isinstance(data, TensorRecord) else NotImplemented


def _parameter_with_state(args: Args) -> object:
    return _with_attributes(_parameter(args), args[3])


def _with_attributes(value: object, state: object) -> object:
    """A tensor with attributes of its own, some of which would exchange its numbers."""
    tables = state if isinstance(state, tuple) else (state,)
    names = {name for table in tables if isinstance(table, dict) for name in table}
    if isinstance(value, TensorRecord) and not names.isdisjoint(EXCHANGING):
        return replace(value, trouble="exchanged for another when it is loaded")
    return value


def _from_type(args: Args) -> object:
    """A tensor of a subclass, or one with attributes: (function, class, its arguments, state)."""
    function, kind, inner, state = args
    plain = (Reference("torch", "Tensor"), Reference("torch.nn.parameter", "Parameter"))
    if not isinstance(function, Reference) or not isinstance(inner, tuple):
        raise Malformed
    value = rebuild(function, inner)
    if kind not in plain and isinstance(value, TensorRecord):
        return _unusual("of a special class")(args)
    return _with_attributes(value, state)


def _size(args: Args) -> object:
    """A shape."""
    given = args[0] if args else ()
    return tuple(given) if isinstance(given, list | tuple) else NotImplemented


def _device(args: Args) -> object:
    """A device, such as ``cuda:0``."""
    return ":".join(str(arg) for arg in args if isinstance(arg, str | int))


def _first(args: Args) -> object:
    """Lists of TorchScript promise to hold one type; a layout is known by its name."""
    return args[0]


_TENSORS: dict[tuple[str, str], Callable[[Args], object]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _typed_tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter_with_state,
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): _parameter,
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _parameter,
    ("torch._tensor", "_rebuild_from_type"): _from_type,
    ("torch._tensor", "_rebuild_from_type_v2"): _from_type,
    ("torch.tensor", "_rebuild_from_type"): _from_type,
    ("torch.nn.parameter", "Parameter"): _parameter,
    ("torch.nn.parameter", "Buffer"): _parameter,
    ("torch", "Size"): _size,
    ("torch", "device"): _device,
    ("torch.serialization", "_get_layout"): _first,
    **{("torch._utils", name): _unusual(kind) for name, kind in UNUSUAL_TENSORS.items()},
    **{
        ("torch.jit._pickle", f"build_{kind}list"): _first
        for kind in ("int", "tensor", "double", "bool")
    },
    ("torch.jit._pickle", "restore_type_tag"): _first,
}
MAKERS = {**_TENSORS, **NUMPY, **PLAIN}
FINISHERS = {**NUMPY_FINISHERS, **PLAIN_FINISHERS}
