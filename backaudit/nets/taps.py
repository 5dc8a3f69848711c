"""Where the stages of a network end, whatever its architecture."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from backaudit.nets.layers import hooked


@torch.no_grad()
def stage_ends(network: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Names of the modules that put out the last feature map of each size, in the order they run.

    Maps of one position have no size left. A module inside one that puts out a smaller map already
    belongs to the next stage, unless its own map is the only one of its size.

    Args:
        network: images in [0, 1] -> logits, in eval mode.
        images: (1, C, H, W) to run it on.
    """
    sizes: dict[str, torch.Size] = {}

    def recorder(name: str) -> Any:
        def record(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.dim() == 4:
                # Of several calls the last one counts, also for the order.
                sizes.pop(name, None)
                sizes[name] = output.shape[2:]

        return record

    modules = {name: module for name, module in network.named_modules() if name}
    with hooked(list(modules.values()), [recorder(name) for name in modules]):
        network(images)
    inner = {name for name in sizes if _is_inside_another_size(name, sizes)}
    ranked = sorted(sizes, key=lambda name: name not in inner)
    last = {sizes[name]: name for name in ranked if sizes[name].numel() > 1}
    return tuple(name for name in sizes if name in last.values())


def _is_inside_another_size(name: str, sizes: dict[str, torch.Size]) -> bool:
    parts = name.split(".")
    above = (".".join(parts[:length]) for length in range(1, len(parts)))
    return any(sizes.get(each, sizes[name]) != sizes[name] for each in above)


@contextmanager
def tapped(network: nn.Module, names: Sequence[str]) -> Iterator[list[Tensor]]:
    """Inside the block, collect what the modules put out, in the order of ``names``.

    The network must run once; each module keeps the last of its outputs.
    """
    outputs: list[Tensor] = [torch.empty(0)] * len(names)

    def keeper(index: int) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            outputs[index] = output

        return keep

    modules = [network.get_submodule(name) for name in names]
    with hooked(modules, [keeper(index) for index in range(len(names))]):
        yield outputs
