"""A suspect that tells tints apart, a repaired copy of its network, and what was written of it."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backaudit.core.suspect import Suspect
from backaudit.files.survey import survey
from backaudit.loading.load import LoadOptions, load
from backaudit.loading.preparation.conventions import UNIT
from backaudit.loading.rewriting.rewrite import Rewritten, rewrite
from tests.loading.samples import TINT_NET, TintNet, tinted, trained_on, write_class_folders

IMAGES, LABELS = tinted(24)
TOLD = {"backaudit.method": "noise-ft", "backaudit.seed": "0"}


def tint_net() -> TintNet:
    return trained_on(IMAGES, UNIT)


def options(folder: Path, code: str = TINT_NET, name: str = "TintNet") -> LoadOptions:
    (folder / "net.py").write_text(code)
    return LoadOptions(model_def=f"{folder / 'net.py'}:{name}")


def clean_images(folder: Path) -> Path:
    return write_class_folders(folder / "clean", IMAGES, LABELS)


def changed(network: nn.Module, by: float = 0.3) -> nn.Module:
    """A copy of which every weight and statistic differs, each by another factor."""
    copy = deepcopy(network)
    generator = torch.Generator().manual_seed(1)
    statistics = [b for n, b in copy.named_buffers() if n.endswith(("running_mean", "running_var"))]
    with torch.no_grad():
        for tensor in [*copy.parameters(), *statistics]:
            tensor.mul_(1 + by * torch.rand(tensor.shape, generator=generator))
            tensor.add_(by * 1e-2 * torch.rand(tensor.shape, generator=generator))
        for name, buffer in copy.named_buffers():
            if name.endswith("num_batches_tracked"):
                buffer.add_(5)
    return copy


@dataclass(frozen=True)
class Repair:
    """A suspect, its repaired network, and the file that was written."""

    suspect: Suspect
    network: nn.Module
    written: Rewritten
    again: Suspect

    def logits(self) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self.network(IMAGES.float() / 255)
        return logits


def repair(model: Path, output: Path, given: LoadOptions | None = None, **named: Any) -> Repair:
    """Load, change, write, and load what was written in the very same way."""
    clean = clean_images(output.parent)
    suspect, _ = load(model, clean, given)
    network = changed(suspect.network)
    before = digest(model)
    written = rewrite(suspect, network, output, given, provenance=TOLD, **named)
    assert digest(model) == before
    again, _ = load(output, clean, given)
    return Repair(suspect, network, written, again)


def digest(path: Path) -> dict[str, bytes]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files if file.is_file()}


def same_to_a_scanner(repaired: Repair, precision: float = 1e-5) -> bool:
    """Whether the file is read as the original is, and answers as the repaired network does."""
    one, other = survey(repaired.suspect.path), survey(repaired.written.path)
    alike = (one.format, one.contents.findings) == (other.format, other.contents.findings)
    uses = [each.contents.uses for each in (one, other)]
    first, second = repaired.suspect, repaired.again
    alike = alike and uses[0] == uses[1] and first.architecture == second.architecture
    answers, expected = second.logits(IMAGES), repaired.logits()
    assert torch.equal(answers, repaired.written.suspect.logits(IMAGES))
    spread = float(expected.max() - expected.min())
    moved = float((expected - first.logits(IMAGES)).abs().max())
    assert moved > 3 * precision * spread
    return alike and float((answers - expected).abs().max()) <= precision * spread
