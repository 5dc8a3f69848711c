"""The last feature map of a network, and the linear head that reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from backaudit.core.errors import NotApplicableError
from backaudit.nets.layers import hooked


@dataclass(frozen=True)
class LinearHead:
    """The end of a network as the linear map from its last feature map to the logits.

    Args:
        layer: the last linear layer that runs.
        pooled: True if ``layer`` reads the mean over the positions of the feature map.
        whole: True if the feature map is the input of a pooling or flattening operation; False if
            it is the input of ``layer`` itself.
    """

    layer: nn.Linear
    pooled: bool
    whole: bool

    def logits(self, features: Tensor, mask: Tensor) -> Tensor:
        """Logits (N, K) from features (N, C, P) times a mask (C, P)."""
        masked = features * mask
        flat = masked.mean(2) if self.pooled else masked.flatten(1)
        result: Tensor = self.layer(flat)
        return result

    def capture(self, run: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
        """Call ``run`` and return its result and the features (N, C, P) that it passed through."""
        vectors: list[Tensor] = []

        def keep(_module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
            vectors.append(inputs[0])

        tap = _Tap()
        with hooked([self.layer], [keep]), tap:
            result = run()
        seen = tap.last if self.whole else None
        return result, vectors[-1].unsqueeze(2) if seen is None else seen.flatten(2)


@torch.no_grad()
def linear_head(network: nn.Module, images: Tensor) -> LinearHead:
    """Find the linear head of a network by running it on images (N, C, H, W) in [0, 1].

    Raises:
        NotApplicableError: if the logits do not come from a linear layer.
    """
    calls: list[tuple[nn.Linear, Tensor, Tensor]] = []

    def record(layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append((layer, inputs[0], output))

    linears = [module for module in network.modules() if isinstance(module, nn.Linear)]
    tap = _Tap()
    with hooked(linears, [record] * len(linears)), tap:
        logits = network(images)
    if not calls or calls[-1][1].dim() != 2 or calls[-1][2].shape != logits.shape:
        raise NotApplicableError("its logits do not come from a linear layer over features.")
    layer, vector, _ = calls[-1]
    if tap.last is not None:
        if _same(tap.last.mean((2, 3)), vector):
            return LinearHead(layer, pooled=True, whole=True)
        if _same(tap.last.flatten(1), vector):
            return LinearHead(layer, pooled=False, whole=True)
    return LinearHead(layer, pooled=False, whole=False)


def _same(computed: Tensor, seen: Tensor) -> bool:
    return computed.shape == seen.shape and torch.allclose(computed, seen, rtol=1e-3, atol=1e-4)


_POOLING = {
    F.avg_pool2d,
    F.adaptive_avg_pool2d,
    torch.mean,
    torch.flatten,
    Tensor.mean,
    Tensor.flatten,
    Tensor.view,
    Tensor.reshape,
}


class _Tap(TorchFunctionMode):
    """Keep the last feature map (N, C, H, W) with H W > 1 that a pooling operation was given."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Tensor | None = None

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = args[0] if args and func in _POOLING else None
        if isinstance(given, Tensor) and given.dim() == 4 and given.shape[2:].numel() > 1:
            self.last = given
        return func(*args, **(kwargs or {}))
