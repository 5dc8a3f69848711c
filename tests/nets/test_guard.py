from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from backaudit.core.errors import SuspectModifiedError
from backaudit.nets.guard import untouched
from backaudit.nets.normalised import Normalised
from tests.toy import toy_network


def network() -> Normalised:
    return Normalised(toy_network(), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)).eval()


def layer(of: nn.Module, kind: type[Any] = nn.Conv2d) -> Any:
    return next(module for module in of.modules() if isinstance(module, kind))


def change(tensor: torch.Tensor, value: float) -> None:
    with torch.no_grad():
        tensor.view(-1)[0] = value


CHANGES: dict[str, tuple[Callable[[Normalised], object], str]] = {
    "weight": (lambda n: change(layer(n).weight, 3.0), "network.0.weight"),
    "weight to nan": (lambda n: change(layer(n).weight, torch.nan), "network.0.weight"),
    "weight replaced": (
        lambda n: setattr(layer(n), "weight", nn.Parameter(torch.zeros(1))),
        "network.0.weight",
    ),
    "precision": (lambda n: layer(n).to(torch.float64), "network.0.weight"),
    "buffer": (lambda n: change(layer(n, nn.BatchNorm2d).running_mean, 9.0), "running_mean"),
    "counter": (lambda n: layer(n, nn.BatchNorm2d).num_batches_tracked.add_(1), "num_batches"),
    "buffer that is not saved": (lambda n: change(n.mean, 0.4), "'mean'"),
    "buffer replaced": (lambda n: setattr(n, "std", torch.ones(3, 1, 1)), "'std'"),
    "mode": (lambda n: layer(n, nn.BatchNorm2d).train(), "module network.1"),
    "hook": (lambda n: layer(n).register_forward_hook(print), "module network.0"),
    "hook before": (lambda n: layer(n).register_forward_pre_hook(print), "module network.0"),
    "hook backwards": (lambda n: layer(n).register_full_backward_hook(print), "module network.0"),
    "hook before backwards": (
        lambda n: layer(n).register_full_backward_pre_hook(print),
        "module network.0",
    ),
    "forward": (lambda n: setattr(n, "forward", print), r"module \(root\)"),
    "layer added": (lambda n: n.add_module("more", nn.ReLU()), "module more"),
    "layer removed": (lambda n: delattr(n.network, "5"), "module network.5"),
    "gradient flag": (lambda n: layer(n).weight.requires_grad_(False), "parameter network.0"),
    "gradient": (
        lambda n: setattr(layer(n).weight, "grad", torch.zeros_like(layer(n).weight)),
        "parameter network.0",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_is_named(name: str) -> None:
    make, message = CHANGES[name]
    guarded = network()
    with pytest.raises(SuspectModifiedError, match=message), untouched(guarded):
        make(guarded)


def test_a_change_is_seen_also_if_the_method_crashed() -> None:
    guarded = network()
    with pytest.raises(SuspectModifiedError), untouched(guarded):
        guarded.train()
        raise ZeroDivisionError


def test_a_crash_that_changed_nothing_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError), untouched(network()):
        raise ZeroDivisionError


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
def test_numbers_that_are_none_are_no_change_unless_they_come_or_go(odd: float) -> None:
    guarded = network()
    change(layer(guarded).weight, odd)
    with untouched(guarded):
        guarded(torch.rand(1, 3, 12, 12))
    for other in (0.0, torch.finfo(torch.float32).max):
        change(layer(guarded).weight, odd)
        with pytest.raises(SuspectModifiedError), untouched(guarded):
            change(layer(guarded).weight, other)


def test_what_is_put_back_is_no_change() -> None:
    guarded = network()
    with untouched(guarded):
        handle = layer(guarded).register_forward_hook(lambda *_: None)
        guarded.train()
        guarded.requires_grad_(False)
        guarded.eval()
        guarded.requires_grad_(True)
        handle.remove()
