"""Honest checkpoints, written by hand; hostile ones are made by changing one thing in them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.hostile.assembler import Call, Global, Persistent, Raw, op, pickled, push
from tests.hostile.zips import Entry, zipped

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
SYSTEM = {
    "protocol_version": 1001,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}
ORDERED = Global("collections", "OrderedDict")
FLOATS = Global("torch", "FloatStorage")


@dataclass(frozen=True)
class Tensor:
    """What ``_rebuild_tensor_v2`` is told about one tensor of float32.

    Args:
        key: of its storage.
        numel: of its storage.
        offset: in elements.
        shape: sizes.
        stride: in elements.
        storage: class of its storage.
    """

    key: str = "0"
    numel: int = 6
    offset: int = 0
    shape: tuple[object, ...] = (2, 3)
    stride: tuple[object, ...] = (3, 1)
    storage: Global = FLOATS

    def value(self, *view: object) -> Call:
        """The call that rebuilds it; ``view`` is what legacy files add to a storage."""
        storage = Persistent(("storage", self.storage, self.key, "cpu", self.numel, *view))
        args = (storage, self.offset, self.shape, self.stride, False, Call(ORDERED, ()))
        return Call(Global("torch._utils", "_rebuild_tensor_v2"), args)


WEIGHT = Tensor()
BIAS = replace(WEIGHT, key="1", numel=2, shape=(2,), stride=(1,))
WEIGHTS = {"fc.weight": WEIGHT.value(), "fc.bias": BIAS.value()}


def state_dict(tensors: Mapping[str, object] = WEIGHTS) -> Raw:
    """An ``OrderedDict`` of tensors, as torch writes it."""
    items = b"".join(push(name) + push(tensor) for name, tensor in tensors.items())
    return Raw(push(Call(ORDERED, ())) + op("MARK") + items + op("SETITEMS"))


def entries(pickle: bytes, root: str = "archive", **storages: bytes) -> list[Entry]:
    """The entries of a torch archive around a pickle."""
    stored = {"0": bytes(24), "1": bytes(8)} | storages
    return [
        Entry(f"{root}/data.pkl", pickle),
        Entry(f"{root}/byteorder", b"little"),
        *(Entry(f"{root}/data/{key}", data) for key, data in stored.items()),
        Entry(f"{root}/version", b"3\n"),
    ]


def torch_zip(value: object, protocol: int = 2, **storages: bytes) -> bytes:
    """A torch archive that holds a value."""
    return zipped(*entries(pickled(value, protocol), **storages))


def honest_zip() -> bytes:
    """A torch archive of a state dict with two tensors."""
    return torch_zip(state_dict())


def legacy(value: object, *, keys: bytes | None = None, magic: object = MAGIC) -> bytes:
    """A file as torch wrote them before 1.6: five pickles, then the storages."""
    first = pickled(Raw(op("LONG1", magic)) if isinstance(magic, int) else magic)
    head = first + pickled(PROTOCOL) + pickled(SYSTEM)
    listed = pickled(["0", "1"]) if keys is None else keys
    storages = (6).to_bytes(8, "little") + bytes(24) + (2).to_bytes(8, "little") + bytes(8)
    return head + pickled(value) + listed + storages


def legacy_state_dict() -> Raw:
    """The same state dict for a legacy file, whose storages name the view they are of."""
    return state_dict({"fc.weight": WEIGHT.value(None), "fc.bias": BIAS.value(None)})
