"""A definition of a network in Python, with everything in it that shapes tell."""

from collections.abc import Iterator, Sequence
from keyword import iskeyword

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.loading.recognition.attempts import shapes_of
from backaudit.loading.recognition.views import views
from backaudit.loading.weights.checkpoint import Checkpoint
from backaudit.nets.chains.candidates import usual_filling
from backaudit.nets.chains.filling import Filling, geometries
from backaudit.nets.chains.network import Step, steps
from backaudit.nets.chains.reading import Chain, Layer, read_chain

GUESS = "  # guess"
NAME = "Net"


def skeleton(checkpoint: Checkpoint) -> str:
    """Write a definition for ``--model-def`` that the tensors load into as it stands.

    Kernel sizes, channels and biases are those of the tensors. What shapes do not tell is filled in
    as is most usual, and marked.

    Args:
        checkpoint: its tensors may lie on the meta device.

    Returns:
        Python source; the network is called ``Net``.

    Raises:
        CheckpointError: if the tensors are no plain chain of layers.
    """
    for view in views(checkpoint.state):
        chain = read_chain(shapes_of(view.state))
        if chain is not None:
            return _source(chain, checkpoint)
    raise CheckpointError(
        f"the tensors of {printable(checkpoint.path)} are no plain chain of convolutions, batch "
        "norms and linear layers, one after the other, so that no definition can be written for "
        "them."
    )


def _source(chain: Chain, checkpoint: Checkpoint) -> str:
    filling = usual_filling(chain)
    taken = list(steps(chain, filling))
    lines = [
        f'"""{_quoted(checkpoint.path.name)}: {chain.describe()}.',
        "",
        "Written from the shapes of its tensors, which do not tell what is marked as a guess:",
        "activations, pooling, strides, padding, and the order of what has no tensors.",
        *_doubt(chain, filling),
        '"""',
        "",
        "import torch.nn.functional as F",
        "from torch import Tensor, nn",
        "",
        "",
        f"class {NAME}(nn.Module):",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *(f"        {line}" for line in _definitions(taken)),
        "",
        "    def forward(self, images: Tensor) -> Tensor:",
        f"        # (N, {filling.in_channels}, {filling.size}, {filling.size}) -> logits "
        f"(N, {chain.num_classes})",
        "        x = images",
        *(f"        {line}" for line in _applications(taken, chain, filling)),
        "        return x",
    ]
    return "\n".join(lines) + "\n"


def _doubt(chain: Chain, filling: Filling) -> Iterator[str]:
    if filling in geometries(chain):
        yield (
            f"The usual choice for images of {filling.size} x {filling.size} pixels was taken; "
            "the sizes work out with it."
        )
    else:
        yield "No usual pooling gives the sizes of these tensors: complete the forward pass."


def _quoted(text: str) -> str:
    """A name from outside, harmless inside a docstring."""
    return printable(text).replace("\\", "/").replace('"', "'")


def _definitions(taken: Sequence[Step]) -> Iterator[str]:
    """Statements that make the layers, under the names that the tensors have."""
    made: set[str] = set()
    norm = "BatchNorm2d"
    for step in taken:
        if step.operation == "flatten":
            norm = "BatchNorm1d"
        if step.layer is None:
            continue
        *parents, own = step.layer.name.split(".")
        for depth in range(1, len(parents) + 1):
            if (place := ".".join(parents[:depth])) not in made:
                made.add(place)
                yield _added(place, "nn.Module()")
        yield _added(".".join((*parents, own)), _call(step, step.layer, norm))


def _added(name: str, made: str) -> str:
    parent, _, own = name.rpartition(".")
    guess = GUESS if "padding" in made else ""
    if not parent and _plain(own):
        return f"self.{own} = {made}{guess}"
    place = f"self.get_submodule({parent!r})" if parent else "self"
    return f"{place}.add_module({own!r}, {made}){guess}"


def _call(step: Step, layer: Layer, norm: str) -> str:
    if layer.kind == "norm":
        return f"nn.{norm}({layer.outputs}{'' if layer.bias else ', affine=False'})"
    bias = "" if layer.bias else ", bias=False"
    if layer.kind == "linear":
        return f"nn.Linear({layer.inputs}, {layer.outputs}{bias})"
    groups = f", groups={layer.groups}" if layer.groups > 1 else ""
    kernel, padding = (
        str(pair[0]) if pair[0] == pair[1] else str(pair) for pair in (layer.kernel, step.padding)
    )
    guessed = f"stride={step.stride}, padding={padding}"
    return f"nn.Conv2d({layer.inputs}, {layer.outputs}, {kernel}, {guessed}{groups}{bias})"


def _applications(taken: Sequence[Step], chain: Chain, filling: Filling) -> Iterator[str]:
    """Statements of the forward pass."""
    grid = max(1, chain.grid)
    guessed = {
        "activation": f"x = {_function(filling.activation)}",
        "max": "x = F.max_pool2d(x, 2)",
        "average": "x = F.avg_pool2d(x, 2)",
        "grid": f"x = F.adaptive_avg_pool2d(x, {grid})",
    }
    for step in taken:
        if step.layer is not None:
            yield f"x = {_reached(step.layer.name)}(x)"
        elif step.operation == "flatten":
            channels = chain.convs[-1].layer.outputs if chain.convs else filling.in_channels
            side = grid if chain.convs else filling.size
            yield f"x = x.flatten(1)  # {channels} x {side} x {side}"
        else:
            yield guessed[step.operation] + GUESS


def _function(activation: str) -> str:
    return f"F.{activation.lower()}(x)"


def _plain(name: str) -> bool:
    return name.isidentifier() and not iskeyword(name)


def _reached(name: str) -> str:
    return f"self.{name}" if _plain(name) else f"self.get_submodule({name!r})"
