"""What a network that was pickled whole says of its layers: settings that tensors do not tell."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from backaudit.core.printable import counted, printable
from backaudit.files.pickles.modules import Part

CONTAINER = "Sequential"
LAYERS = {
    *("Conv2d", "Linear", "BatchNorm1d", "BatchNorm2d", "LayerNorm", "GroupNorm", "PReLU"),
    *("AvgPool2d", "MaxPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "Flatten", "Identity"),
    *("Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "ZeroPad2d", "ReflectionPad2d"),
    *("ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Softplus"),
    *("Sigmoid", "Tanh", "Hardtanh", "Hardswish", "Hardsigmoid", "Softmax", "LogSoftmax"),
}
# Settings of layers with tensors that change what they compute, and no tensor tells.
TELLING = ("stride", "padding", "dilation", "groups", "padding_mode", "eps")
NAMED = 4


def built_from(parts: Sequence[Part], state: Mapping[str, Tensor]) -> nn.Module | None:
    """Build what was pickled, if it is layers of torch in sequences and nothing else.

    Args:
        parts: of the module, the root first.
        state: its tensors, which tell which layers have a bias.
    """
    children = {part.path: part for part in parts}
    if not parts or parts[0].path or parts[0].kind.name != CONTAINER:
        return None
    if any(part.hooks or part.others or _class(part) is None for part in parts):
        return None
    return _sequence("", children, state)


def _sequence(path: str, parts: Mapping[str, Part], state: Mapping[str, Tensor]) -> nn.Module:
    sequence = nn.Sequential()
    start = f"{path}." if path else ""
    for name, part in parts.items():
        own = name.removeprefix(start)
        if not name or not name.startswith(start) or "." in own:
            continue
        inner = part.kind.name == CONTAINER
        sequence.add_module(own, _sequence(name, parts, state) if inner else _made(part, state))
    return sequence


def _class(part: Part) -> type[nn.Module] | None:
    """The class of a part, if it is one of the layers that are known here."""
    if part.kind.module.split(".")[:2] != ["torch", "nn"]:
        return None
    known = part.kind.name in LAYERS or part.kind.name == CONTAINER
    kind: type[nn.Module] | None = getattr(nn, part.kind.name) if known else None
    return kind


def _made(part: Part, state: Mapping[str, Tensor]) -> nn.Module:
    """One layer.

    Raises:
        TypeError: if its settings are not what its class takes; also ``ValueError``.
    """
    kind = _class(part)
    if kind is None:
        raise TypeError(part.kind.name)
    taken = inspect.signature(kind).parameters
    settings: dict[str, Any] = {
        name: value for name, value in part.settings.items() if name in taken and name != "inplace"
    }
    if "bias" in taken:
        settings["bias"] = f"{part.path}.bias" in state
    return kind(**settings)


def follow(network: nn.Module, parts: Sequence[Part], state: Mapping[str, Tensor]) -> str:
    """Give layers of a recognised network the settings that the pickled one had.

    Args:
        network: whose tensors fit those of the parts; changed in place.
        parts: of the pickled network, in any order.
        state: its tensors.

    Returns:
        What was changed, in a sentence; empty if nothing had to be.
    """
    ours = dict(network.named_modules())
    changed = [
        part.path
        for part in parts
        if part.path in ours and _class(part) is not None and _followed(network, part, state)
    ]
    notes = []
    if changed:
        names = ", ".join(printable(path) for path in changed[:NAMED])
        more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        notes.append(f"Settings of {names}{more} were taken from the pickled network.")
    hooked = sum(bool(part.hooks) for part in parts)
    if hooked:
        notes.append(
            f"The pickled network has code of its own on {counted(hooked, 'layer')}, which was "
            "not run: what it computes there is not known."
        )
    return " ".join(notes)


def _followed(network: nn.Module, part: Part, state: Mapping[str, Tensor]) -> bool:
    """Whether a layer had to be changed to be like its part."""
    layer = network.get_submodule(part.path)
    if part.kind.name == CONTAINER:
        return False
    if _has_tensors(layer):
        return _set(layer, part)
    wanted = _made(part, state).train(layer.training)
    if type(wanted) is type(layer) and hasattr(layer, "inplace"):
        wanted.inplace = layer.inplace
    if repr(wanted) == repr(layer):
        return False
    network.set_submodule(part.path, wanted)
    return True


def _has_tensors(layer: nn.Module) -> bool:
    return any(True for _ in _tensors(layer))


def _tensors(layer: nn.Module) -> Iterator[Tensor]:
    yield from layer.parameters()
    yield from layer.buffers()


def _set(layer: nn.Module, part: Part) -> bool:
    different = [
        name
        for name in TELLING
        if name in part.settings
        and hasattr(layer, name)
        and _plain(getattr(layer, name)) != _plain(part.settings[name])
    ]
    for name in different:
        setattr(layer, name, part.settings[name])
    return bool(different)


def _plain(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else value
