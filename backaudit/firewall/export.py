"""The guarded network as a file that runs where backaudit is not installed."""

import io
import json
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backaudit.core.errors import NotApplicableError, SettingError
from backaudit.core.writing import require_free, write_whole
from backaudit.firewall.guarded import GuardedNetwork
from backaudit.nets.amplification.graph import SharedGraph
from backaudit.nets.amplification.tracing import FAILURES

INPUT, BATCH = "images", "batch"
OUTPUTS = ("logits", "flagged", "scores")
METADATA = "backaudit.json"
# A file in ONNX's format ends at 2 GiB, and the graph takes a little of it.
LARGEST_ONNX = (1 << 31) - (1 << 24)


def export_guarded(guarded: GuardedNetwork, file: Path, *, force: bool = False) -> None:
    """Write a guarded network as ONNX (``.onnx``) or as a ``torch.export`` program (``.pt2``).

    It takes ``images`` (N, C, H, W) float32, of the kind and size that the guarded network takes,
    any N, and answers with ``logits`` (N, K), ``flagged`` (N,) bool and ``scores`` (N,) float32.
    What was calibrated is in ONNX's ``metadata_props``, and in the program's extra file
    ``backaudit.json``: threshold, class names, digests of checkpoint and calibration, and so on.

    Args:
        guarded: as ``guard`` makes it; a program stays on the device that it is on.
        file: written whole or not at all.
        force: whether an existing file may be replaced.

    Raises:
        SettingError: if the name ends in neither, or what ONNX takes is not installed.
        NotApplicableError: if the network cannot be exported.
        OutputError: if the file cannot be written, or exists without ``force``.
    """
    render = renderer_for(file)
    require_free(file, force=force)
    write_whole(file, render(guarded))


def renderer_for(file: Path) -> Callable[[GuardedNetwork], bytes]:
    """What makes a file of this name.

    Raises:
        SettingError: if its ending is unknown, or what it takes is not installed.
    """
    renderers = {".onnx": onnx_of, ".pt2": program_of}
    if file.suffix.lower() not in renderers:
        raise SettingError(f"{file} must end in {' or '.join(renderers)}, which names the format")
    if file.suffix.lower() == ".onnx" and find_spec("onnxscript") is None:
        raise SettingError(
            "ONNX takes the package onnxscript, which is not installed: "
            "pip install 'backaudit[export]', or export to .pt2"
        )
    return renderers[file.suffix.lower()]


def program_of(guarded: GuardedNetwork) -> bytes:
    """The bytes of a ``torch.export`` program.

    Raises:
        NotApplicableError: if the network cannot be exported.
    """
    stream = io.BytesIO()
    program = _program(guarded)
    for tensors in (program.state_dict, program.constants):
        _cut_out(tensors)
    torch.export.save(program, stream, extra_files={METADATA: json.dumps(guarded.about, indent=1)})
    return stream.getvalue()


def onnx_of(guarded: GuardedNetwork) -> bytes:
    """The bytes of an ONNX model.

    Raises:
        NotApplicableError: if the network cannot be exported, or is too large for one file.
    """
    if sum(each.nbytes for each in guarded.parameters()) > LARGEST_ONNX:
        raise NotApplicableError("the network is too large for one ONNX file; export to .pt2.")
    program = _program(guarded)
    try:
        with warnings.catch_warnings():
            # They are about the exporter's own workings.
            warnings.simplefilter("ignore")
            made = torch.onnx.export(
                program,
                dynamo=True,
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                # The program says which sizes are free; this says what the free one is called.
                dynamic_shapes=({0: BATCH},),
                verbose=False,
            )
    except FAILURES as error:
        raise _refusal(error) from error
    if made is None:
        raise NotApplicableError("torch.onnx made nothing of the network.")
    made.model.metadata_props.update(guarded.about)
    serialised: bytes = made.model_proto.SerializeToString()
    return serialised


def _program(guarded: GuardedNetwork) -> torch.export.ExportedProgram:
    if not isinstance(guarded.amplified, SharedGraph):
        raise NotApplicableError(
            f"the network cannot be exported, because torch.fx cannot make a graph of it that "
            f"shares its passes: {guarded.how}."
        )
    shapes = ({0: torch.export.Dim(BATCH)},)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # A copy: a tensor that the network holds too would fix the size of the batch.
            program = torch.export.export(
                _Outputs(guarded), (guarded.example.clone(),), dynamic_shapes=shapes, strict=False
            )
    except FAILURES as error:
        raise _refusal(error) from error
    for node in program.graph.nodes:
        # It names files of this machine.
        node.meta.pop("stack_trace", None)
    return program


def _cut_out(tensors: dict[str, Any]) -> None:
    """Give tensors that are parts of others a storage of their own.

    Those of a checkpoint are parts of its file, all of which would be saved with them.
    """
    for name, tensor in tensors.items():
        if isinstance(tensor, Tensor) and tensor.untyped_storage().nbytes() != tensor.nbytes:
            copy = tensor.detach().clone()
            is_parameter = isinstance(tensor, nn.Parameter)
            tensors[name] = nn.Parameter(copy, tensor.requires_grad) if is_parameter else copy


def _refusal(error: Exception) -> NotApplicableError:
    said = str(error).strip().partition("\n")[0]
    return NotApplicableError(f"torch cannot export the network: {type(error).__name__}: {said}.")


class _Outputs(nn.Module):
    """A guarded network whose answers are plain tensors, so that nothing of backaudit is named."""

    def __init__(self, guarded: GuardedNetwork) -> None:
        super().__init__()
        self.guarded = guarded
        self.training = False

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        screened = self.guarded.screen(images)
        return screened.logits, screened.flagged, screened.scores
