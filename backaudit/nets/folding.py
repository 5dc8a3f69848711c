"""Batch norm folded into convolutions, as exporters to ONNX do."""

import copy

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from backaudit.core.errors import NotApplicableError


def folded(network: nn.Module) -> nn.Module:
    """A copy of the network whose batch norm is part of the convolutions before it.

    Batch norm that does not follow a convolution stays.

    Args:
        network: in eval mode; it is not changed.

    Raises:
        NotApplicableError: if the network's graph cannot be traced.
    """
    try:
        traced = fx.symbolic_trace(copy.deepcopy(network))
    except Exception as error:
        # The network's own code runs on placeholders, which may fail in any way.
        raise NotApplicableError(f"its batch norm cannot be folded away: {error}") from error
    for before, after in _pairs(traced):
        convolution, norm = traced.get_submodule(before), traced.get_submodule(after)
        traced.set_submodule(before, fuse_conv_bn_eval(convolution, norm))  # type: ignore[type-var, arg-type]
        traced.set_submodule(after, nn.Identity())
    return traced.eval()


def _pairs(traced: fx.GraphModule) -> list[tuple[str, str]]:
    """Names of each convolution and of the batch norm that alone reads what it gives."""
    kinds = dict(traced.named_modules())
    calls = [node for node in traced.graph.nodes if node.op == "call_module"]
    return [
        (str(before.target), str(node.target))
        for node in calls
        for before in node.all_input_nodes
        if before in calls
        and isinstance(kinds[str(node.target)], _BatchNorm)
        and isinstance(kinds[str(before.target)], _ConvNd)
        and len(before.users) == 1
    ]
