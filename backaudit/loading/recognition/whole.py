"""Networks that need no recognition: a graph, a pickled sequence, the user's own definition."""

from collections.abc import Iterator

from torch import nn

from backaudit.core.printable import printable
from backaudit.loading.recognition.attempts import UNBUILDABLE
from backaudit.loading.recognition.fitting import compare, fill, num_inputs, num_outputs
from backaudit.loading.recognition.model_def import fitting_size, network_from
from backaudit.loading.recognition.parts import built_from
from backaudit.loading.recognition.recognised import Recognised
from backaudit.loading.weights.checkpoint import Checkpoint
from backaudit.nets.unallocated import Unallocated

NORMS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d)
FOLDED = (
    "The graph has no normalisation layers: exporters to ONNX usually fold batch norm into the "
    "convolutions, where some checks see less. They see more in the state dict, and in what "
    "torch.onnx.export(..., dynamo=False, training=torch.onnx.TrainingMode.PRESERVE) writes."
)
KINDS = {
    "onnx": "ONNX graph",
    "torchscript": "TorchScript program",
    "torch-export": "exported program",
}


def kind_of(file_format: str) -> str:
    """What the graph in a file of some format is called."""
    return KINDS.get(file_format, "graph")


def from_graph(checkpoint: Checkpoint, fits: str, size: tuple[int, int] | None) -> Recognised:
    """The network is the file's own graph; an architecture in its place could lack a backdoor.

    Args:
        checkpoint: with a program.
        fits: name of the architecture that its tensors fit; empty if none.
        size: height and width of the images, where the graph leaves it open; None if nobody says.

    Raises:
        CheckpointError: if the graph uses what is not supported.
    """
    # Only here: few files hold graphs.
    from backaudit.loading.recognition.graphs import graph_of

    kind = kind_of(checkpoint.format)
    built = graph_of(checkpoint, size)
    name = f"{kind} (its tensors fit {fits})" if fits else kind
    metadata: dict[str, object] = dict(checkpoint.metadata)
    usual = None
    if built.input_size is not None:
        metadata["input_size"] = list(built.input_size)
        usual = max(built.input_size)
    return Recognised(
        network=built.network.eval(),
        architecture=name,
        num_classes=built.num_classes,
        in_channels=built.in_channels,
        input_size=usual,
        how=f"taken from the file's own {kind}",
        assumptions=(*checkpoint.notes, *built.notes, *_on_folding(checkpoint, built.network)),
        metadata=metadata,
    )


def _on_folding(checkpoint: Checkpoint, network: nn.Module) -> Iterator[str]:
    """Say that batch norm is probably folded away, for checks that need it."""
    normalised = any(isinstance(layer, NORMS) for layer in network.modules())
    convolved = any(isinstance(layer, nn.Conv2d) for layer in network.modules())
    if checkpoint.format == "onnx" and convolved and not normalised:
        yield FOLDED


def from_parts(checkpoint: Checkpoint) -> Recognised | None:
    """A network that was pickled whole and is layers of torch in sequences; None for any other."""
    prefix = checkpoint.prefix
    state = {f"{prefix}{name}": tensor for name, tensor in checkpoint.state.items()}
    try:
        with Unallocated():
            network = built_from(checkpoint.module, state)
    except UNBUILDABLE:
        return None
    if network is None or not compare(network, state).fits:
        return None
    fill(network, state)
    size = fitting_size(network, num_inputs(network), None)
    return Recognised(
        network=network,
        architecture="sequence of layers",
        num_classes=size[1] if size else num_outputs(network),
        in_channels=num_inputs(network),
        input_size=size[0] if size else None,
        how="read from the pickled network, whose layers are all of torch",
        assumptions=checkpoint.notes,
        metadata=checkpoint.metadata,
    )


def from_definition(checkpoint: Checkpoint, spec: str) -> Recognised:
    """The network that the user's own file defines, which is executed.

    Raises:
        CheckpointError: if there is no such definition, it fails, or the tensors do not fit.
    """
    network, state = network_from(spec, checkpoint)
    fill(network, state)
    in_channels = num_inputs(network)
    fits = fitting_size(network, in_channels, checkpoint.metadata.get("img_size"))
    size, classes = fits or (None, num_outputs(network))
    assumptions = [*checkpoint.notes, f"The file of --model-def, {printable(spec)}, was executed."]
    if size:
        assumptions.append(f"Images of {size} x {size} pixels are the first usual size that fits.")
    how = "defined by --model-def"
    name = printable(spec)
    return Recognised(
        network, name, classes, in_channels, size, how, tuple(assumptions), checkpoint.metadata
    )
