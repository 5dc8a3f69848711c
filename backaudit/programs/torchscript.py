"""A TorchScript program as a differentiable network with real layers, without running it."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, fx

from backaudit.files.graphs.script_program import ScriptProgram
from backaudit.programs.fitting import FAULTS, Size, broken, fitted
from backaudit.programs.graph import Recorder
from backaudit.programs.interface import Built
from backaudit.programs.results import logits_of
from backaudit.programs.scripts.evaluate import Evaluator


def build(
    program: ScriptProgram, state: Mapping[str, Tensor], input_size: Size | None = None
) -> Built:
    """Follow a program's ``forward`` once, in eval mode, and record what it does to an image.

    Args:
        program: as ``read_torchscript`` gives it.
        state: its tensors by name; floating-point ones become float32.
        input_size: (H, W) of the images; None to find one that fits.

    Raises:
        CheckpointError: if it uses what is not supported, or no size fits.
    """
    single = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }
    return fitted(partial(_recorded, program, single), single, input_size)


def _recorded(
    program: ScriptProgram, state: Mapping[str, Tensor], channels: int, sizes: tuple[Size, Size]
) -> fx.GraphModule:
    recorder = Recorder(state)
    image = recorder.image(channels, sizes[0], torch.float32, other=sizes[1])
    evaluator = Evaluator(program, state, recorder)
    try:
        result = evaluator.method(program.root, "forward", [image], {})
        return recorder.finish(logits_of(result))
    except FAULTS as error:
        raise broken(error) from error
