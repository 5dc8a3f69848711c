"""Small weights, and files that hold them."""

import io
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

STATE: dict[str, Tensor] = {
    "conv.weight": torch.arange(36.0).reshape(4, 1, 3, 3),
    "bn.running_mean": torch.ones(4),
    "bn.num_batches_tracked": torch.tensor(7),
    "fc.weight": torch.full((2, 4), 0.5),
}
OPTIMIZER = {"state": {0: {"momentum_buffer": torch.ones(9, 9)}}, "param_groups": [{"lr": 0.1}]}


def saved(tmp_path: Path, content: Any, **options: Any) -> Path:
    path = tmp_path / "weights.png"
    torch.save(content, path, **options)
    return path


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "weights.pt"
    path.write_bytes(data)
    return path


def packed(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in STATE.items()}


def same(state: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return state.keys() == expected.keys() and all(
        torch.equal(tensor, expected[name]) for name, tensor in state.items()
    )


def squeezed(data: bytes) -> bytes:
    source, target = io.BytesIO(data), io.BytesIO()
    with (
        zipfile.ZipFile(source) as archive,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as smaller,
    ):
        for name in archive.namelist():
            smaller.writestr(name, archive.read(name))
    return target.getvalue()


class Exchanged:
    """Pickles as a parameter whose ``data`` is replaced after it was made."""

    def __init__(self, shown: Tensor, used: Tensor) -> None:
        self.made = (shown, False, OrderedDict(), {"data": used})

    def __reduce__(self) -> tuple[Any, ...]:
        return (torch._utils._rebuild_parameter_with_state, self.made)
