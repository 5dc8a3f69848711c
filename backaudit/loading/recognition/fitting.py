"""Do tensors fit a network exactly, and if not, what differs?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable

COUNTER = "num_batches_tracked"
SHOWN = 4


@dataclass(frozen=True)
class Comparison:
    """How the tensors of a file differ from those of a network.

    Args:
        agreeing: how many names agree in shape and in kind of number.
        missing: names the network has and the file lacks.
        unexpected: names the file has and the network lacks.
        reshaped: name and what the network and the file have there.
    """

    agreeing: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[tuple[str, str, str], ...]

    @property
    def fits(self) -> bool:
        """Whether nothing differs."""
        return not (self.missing or self.unexpected or self.reshaped)

    @property
    def total(self) -> int:
        """How many names there are altogether."""
        return self.agreeing + len(self.missing) + len(self.unexpected) + len(self.reshaped)

    def describe(self) -> str:
        """Say what differs, the first few of each kind."""
        reshaped = [
            f"{name} (network {wanted}, file {given})" for name, wanted, given in self.reshaped
        ]
        kinds: dict[str, Sequence[str]] = {
            "missing in the file": self.missing,
            "not in the network": self.unexpected,
            "of another shape": reshaped,
        }
        lines = [f"{kind}: {_some(names)}" for kind, names in kinds.items() if names]
        return "; ".join(lines)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def compare(network: nn.Module, state: Mapping[str, Tensor]) -> Comparison:
    """Compare names, shapes and kinds of numbers; batch counters may be missing in ``state``."""
    wanted = network.state_dict()
    missing = [name for name in wanted.keys() - state.keys() if not name.endswith(COUNTER)]
    unexpected = [name for name in state if name not in wanted]
    shared = [name for name in wanted if name in state]
    reshaped = [name for name in shared if not _alike(wanted[name], state[name])]
    return Comparison(
        agreeing=len(shared) - len(reshaped),
        missing=tuple(name for name in wanted if name in set(missing)),
        unexpected=tuple(unexpected),
        reshaped=tuple((name, _form(wanted[name]), _form(state[name])) for name in reshaped),
    )


def _alike(wanted: Tensor, given: Tensor) -> bool:
    floats = wanted.is_floating_point() == given.is_floating_point()
    return wanted.shape == given.shape and (floats or wanted.dim() == 0)


def _form(tensor: Tensor) -> str:
    size = "x".join(map(str, tensor.shape)) or "scalar"
    return size if tensor.is_floating_point() else f"{size} integer"


def fill(network: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Put tensors that fit into a network, without copying them, and set it to eval mode."""
    buffers = dict(network.named_buffers())
    typed = {
        name: tensor.to(buffers[name].dtype) if name in buffers else tensor
        for name, tensor in state.items()
    }
    network.load_state_dict(typed, strict=False, assign=True)
    everything = [*network.named_parameters(), *network.named_buffers()]
    empty = [name for name, tensor in everything if tensor.is_meta]
    if empty:
        raise CheckpointError(
            f"the network's {printable(empty[0])} is not in the file: use --model-def"
        )
    return network.eval()


def num_outputs(network: nn.Module) -> int:
    """Outputs of the last linear layer or convolution, in registration order; 0 without one."""
    maps = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    if not maps:
        return 0
    return maps[-1].out_features if isinstance(maps[-1], nn.Linear) else maps[-1].out_channels


def num_inputs(network: nn.Module) -> int:
    """Input channels of the first convolution, in registration order; 3 without one."""
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    first = next(convolutions, None)
    return 3 if first is None else first.in_channels


def likely_classes(state: Mapping[str, Tensor]) -> int | None:
    """Rows of the last matrix among named tensors, which usually is the head; None without one."""
    heads = [
        tensor for name, tensor in state.items() if tensor.dim() == 2 and name.endswith("weight")
    ]
    return heads[-1].shape[0] if heads else None
