"""Small networks, and the files that torch makes of them."""

import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.core.seeding import seeded
from backaudit.files.contents import Contents
from backaudit.files.records import TensorRecord
from backaudit.files.survey import survey
from backaudit.programs import export, torchscript
from backaudit.programs.interface import Built


class Plain(nn.Module):
    """Functions between layers, a fixed size, a logarithm at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(3, 4, 3, padding=1)
        self.b1 = nn.BatchNorm2d(4)
        self.c2 = nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False)
        self.fc = nn.Linear(6 * 7 * 7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.b1(self.c1(x))), 2)
        x = F.relu(self.c2(x))
        x = F.dropout(x.view(x.size(0), -1), 0.5, self.training)
        return F.log_softmax(self.fc(x), dim=1)


class Residual(nn.Module):
    """Any size: additions in place, concatenation, splitting, pooling, several kinds of layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(True))
        self.body = nn.ModuleList([nn.Conv2d(8, 8, 3, padding=1) for _ in range(2)])
        self.norm = nn.GroupNorm(2, 8)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)
        self.scale = nn.Parameter(torch.full((4, 1, 1), 0.5))
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(8, 6), nn.Hardtanh(), nn.Linear(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.body:
            y = layer(x)
            y += x
            x = F.relu_(y)
        a, b = self.norm(x).chunk(2, 1)
        x = torch.cat([torch.sigmoid(a) * b, self.scale * F.avg_pool2d(self.up(x), 2)], 1)
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return torch.as_tensor(self.head(F.adaptive_avg_pool2d(x, 1).flatten(1)))


class Attention(nn.Module):
    """Patches of 4 x 4 of an image of 16 x 16, a class token, attention, layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.positions = nn.Parameter(torch.linspace(-1, 1, 136).reshape(1, 17, 8))
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        x = self.patches(x).reshape(n, 8, 16).permute(0, 2, 1)
        x = torch.cat([self.token.expand(n, -1, -1), x], 1) + self.positions
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return torch.as_tensor(self.head(x[:, 0]))


NETWORKS: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "plain": (Plain, (3, 32, 32)),
    "residual": (Residual, (3, 32, 32)),
    "attention": (Attention, (1, 16, 16)),
}


def network(kind: type[nn.Module]) -> nn.Module:
    with seeded(1):
        made = kind().eval()
        for layer in made.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean = torch.randn(layer.num_features) / 5
                layer.running_var = torch.rand(layer.num_features) + 0.5
    return made


def images(count: int, shape: tuple[int, ...]) -> Tensor:
    with seeded(2):
        return torch.rand(count, *shape)


def quietly(make: Callable[[], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def jit_bytes(made: Any) -> bytes:
    stream = io.BytesIO()
    quietly(lambda: torch.jit.save(made, stream))
    return stream.getvalue()


def scripted(made: nn.Module) -> bytes:
    return jit_bytes(quietly(lambda: torch.jit.script(made)))


def traced(made: nn.Module, example: Tensor) -> bytes:
    return jit_bytes(quietly(lambda: torch.jit.trace(made, example, check_trace=False)))


def exported(made: nn.Module, example: Tensor, *, free: bool = False, core: bool = False) -> bytes:
    shapes = ({0: torch.export.Dim("n")},) if free else None

    def make() -> bytes:
        program = torch.export.export(made, (example,), dynamic_shapes=shapes)
        stream = io.BytesIO()
        torch.export.save(program.run_decompositions() if core else program, stream)
        return stream.getvalue()

    return bytes(quietly(make))


def contents(tmp_path: Path, data: bytes) -> Contents:
    path = tmp_path / "file"
    path.write_bytes(data)
    return survey(path).contents


def tensors(saved: Any) -> dict[str, Tensor]:
    return {name: _tensor(record) for name, record in saved.items()}


def _tensor(record: TensorRecord) -> Tensor:
    kind = np.dtype(record.dtype)
    flat = torch.from_numpy(np.frombuffer(bytes(record.storage.read()), kind).copy())
    return torch.as_strided(flat, record.shape, record.stride, record.offset)


def built(tmp_path: Path, data: bytes) -> Built:
    found = contents(tmp_path, data)
    assert found.problem == ""
    assert found.findings == ()
    build: Any = export.build if hasattr(found.program, "nodes") else torchscript.build
    return build(found.program, tensors(found.saved))


def edited(
    data: bytes, change: Callable[[str, bytes], bytes], more: dict[str, bytes] | None = None
) -> bytes:
    """An archive with its entries changed and more of them, stored as torch stores them."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name.partition("/")[2], old.read(name)))
        for name, content in (more or {}).items():
            new.writestr(f"{old.namelist()[0].partition('/')[0]}/{name}", content)
    return stream.getvalue()


def graph_edited(data: bytes, change: Callable[[Any], None]) -> bytes:
    """An export whose graph's JSON was changed."""

    def changed(name: str, content: bytes) -> bytes:
        if not name.startswith("models/"):
            return content
        document = json.loads(content)
        change(document["graph_module"])
        return json.dumps(document).encode()

    return edited(data, changed)
