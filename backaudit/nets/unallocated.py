"""Networks without storage: hundreds can be built in a second to see which one tensors fit."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

CREATE = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
INITIALISE = {
    *("add_", "clamp_", "constant_", "erfinv_", "fill_", "kaiming_normal_", "kaiming_uniform_"),
    *(
        "mul_",
        "normal_",
        "ones_",
        "trunc_normal_",
        "uniform_",
        "xavier_uniform_",
        "zero_",
        "zeros_",
    ),
}


class Unallocated(TorchFunctionMode):
    """Inside it, what is made to hold weights is made on the meta device and not initialised.

    Unlike under ``torch.device("meta")``, index tables and counters that a network computes for
    itself are real, so loading its weights leaves nothing on the meta device, and constructors that
    read back numbers work.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in CREATE and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        elif getattr(func, "__name__", "") in INITIALISE:
            target = args[0] if args else kwargs.get("tensor")
            if isinstance(target, torch.Tensor) and target.is_meta:
                return target
        return func(*args, **kwargs)
