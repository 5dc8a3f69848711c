"""One pass a depth, each from its first amplified layer on, for networks that cannot be traced.

The plain pass notes what every call of torch gives, and copies the tensors that are still in use
where a depth starts to differ. The pass for that depth runs the network's own code again, but up
to that point calls are answered from the notes and nothing is computed. A tensor that was no longer
in use there is answered with an empty one, since nothing reads it any more.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import TensorWeakRef

from backaudit.nets.amplification.plain import run_amplified


class ReplayedAmplification(nn.Module):
    """Runs only what comes after the first amplified layer again for every depth.

    Args:
        network: images -> logits.
        layers: names of its layers, deepest first.
        depths: how many of ``layers`` to amplify, for each row of logits after the first.
        scale: factor on what these layers give (omega).
    """

    def __init__(
        self, network: nn.Module, layers: Sequence[str], depths: Sequence[int], scale: float
    ) -> None:
        super().__init__()
        self.network = network
        self.how = "one pass a depth, from its first amplified layer on, the prefix replayed"
        self._amplified = [tuple(layers[:depth]) for depth in depths]
        self._scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """Logits (1 + G, N, K) for images (N, C, H, W)."""
        recording = _Recording()
        distinct = dict.fromkeys(self._amplified)
        with ExitStack() as hooks:
            for names in distinct:
                for name in names:
                    layer = self.network.get_submodule(name)
                    hooks.callback(layer.register_forward_pre_hook(recording.cut(names)).remove)
            with recording:
                plain: Tensor = self.network(images)
        found = {names: self._row(names, images, recording, plain) for names in distinct}
        return torch.stack([plain, *(found[names] for names in self._amplified)])

    def _row(
        self, names: tuple[str, ...], images: Tensor, recording: "_Recording", plain: Tensor
    ) -> Tensor:
        if not names:
            return plain
        replay = _Replay(recording.notes.pop(names, []))
        within = [f"network.{name}" for name in names]
        return run_amplified(_Within(self.network, replay), within, self._scale, images)


class _Within(nn.Module):
    """A network whose calls of torch all go through a mode."""

    def __init__(self, network: nn.Module, mode: TorchFunctionMode) -> None:
        super().__init__()
        self.network = network
        self._mode = mode

    def forward(self, images: Tensor) -> Tensor:
        with self._mode:
            logits: Tensor = self.network(images)
        return logits


class _Recording(TorchFunctionMode):
    """Notes what calls give, without keeping any tensor alive.

    Attributes:
        notes: what the calls before the cut of each set of layers gave.
    """

    def __init__(self) -> None:
        super().__init__()
        self.notes: dict[tuple[str, ...], list[Any]] = {}
        self._given: list[Any] = []
        self._due: list[tuple[str, ...]] = []

    def cut(self, names: tuple[str, ...]) -> Callable[..., None]:
        """A hook that cuts before the first of the layers ``names`` that runs."""

        def hook(*_: Any) -> None:
            if names not in self.notes and names not in self._due:
                self._due.append(names)

        return hook

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # Copies are made here and not in the hook, because calls made in here are not noted.
        for names in self._due:
            copies = _Copies()
            self.notes[names] = [_mapped(given, TensorWeakRef, copies) for given in self._given]
        self._due.clear()
        result = func(*args, **kwargs or {})
        self._given.append(_mapped(result, Tensor, TensorWeakRef))
        return result


class _Copies:
    """Copies of those tensors that are still in use; one tensor has one copy."""

    def __init__(self) -> None:
        # Originals are kept, because another tensor could get the number of one that is gone.
        self._copies: dict[int, tuple[Tensor, Tensor]] = {}
        self._unused = torch.empty(0)

    def __call__(self, reference: TensorWeakRef) -> Tensor:
        tensor = reference()
        if tensor is None:
            return self._unused
        if id(tensor) not in self._copies:
            self._copies[id(tensor)] = (tensor, tensor.clone())
        return self._copies[id(tensor)][1]


class _Replay(TorchFunctionMode):
    """Answers calls from notes for as long as there are any."""

    def __init__(self, notes: Sequence[Any]) -> None:
        super().__init__()
        self._notes = iter(notes)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = next(self._notes, _END)
        # What changes no tensor and gives nothing changes a state of torch, such as no_grad.
        changes_state = given is None and not any(isinstance(arg, Tensor) for arg in args)
        if given is _END or changes_state:
            return func(*args, **kwargs or {})
        return given


_END = object()


def _mapped(value: Any, kind: type, function: Callable[[Any], Any]) -> Any:
    """Apply a function to all of a kind in what a call gives: one value, or a tuple or list."""
    if isinstance(value, kind):
        return function(value)
    if isinstance(value, tuple | list) and not isinstance(value, torch.Size):
        return type(value)([_mapped(part, kind, function) for part in value])
    return value
