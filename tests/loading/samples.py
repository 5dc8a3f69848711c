"""Small clean sets, on disk and in memory, and a network that knows their classes."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from backaudit.files.pickles.modules import Part
from backaudit.files.pickles.values import Reference
from backaudit.loading.clean_images.images import RawImages
from backaudit.loading.preparation.conventions import Convention

COLOURS = ("blue", "green", "red")

TINT_NET = """
import torch
from torch import nn

class TintNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.bn = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 3, bias=False)

    def forward(self, images):
        return self.fc(self.bn(self.conv(images)).mean((2, 3)))
"""


class TintNet(nn.Module):
    """Tells blue, green and red images apart (outputs 0, 1, 2) by their mean colour."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.bn = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 3, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[:, :, None, None])
            self.fc.weight.copy_(8 * torch.eye(3).flip(0))

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.bn(self.conv(images)).mean((2, 3)))


def tinted(count: int = 60, size: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noisy blue, green and red images (N, 3, size, size) uint8 in turn, and their labels (N,)."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = torch.randint(20, 120, (count, 3, size, size), generator=generator)
    images[torch.arange(count), 2 - labels] += 110
    return images.to(torch.uint8), labels


def raw(images: Tensor, labels: Tensor | None = None, *, named: bool = True) -> RawImages:
    """Images in memory as if they had been read, with class names, class numbers or no labels."""
    names = tuple(COLOURS[label] for label in labels.tolist()) if labels is not None else None
    numbers = tuple(labels.tolist()) if labels is not None else None
    return RawImages(tuple(images), names if named else None, None if named else numbers, "memory")


def trained_on(images: Tensor, convention: Convention) -> TintNet:
    """A network whose batch-norm statistics come from these images, so normalised."""
    network = TintNet()
    network.bn.momentum = None
    mean = torch.tensor(convention.mean)[:, None, None]
    std = torch.tensor(convention.std)[:, None, None]
    with torch.no_grad():
        network.train()((images.float() / 255 - mean) / std)
    return network.eval()


def write_class_folders(folder: Path, images: Tensor, labels: Tensor) -> Path:
    for index, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        path = folder / COLOURS[label] / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, image)
    return folder


def write_flat(folder: Path, images: Tensor) -> Path:
    folder.mkdir(exist_ok=True)
    for index, image in enumerate(images):
        write(folder / f"{index:03d}.png", image)
    return folder


def write(path: Path, image: Tensor) -> None:
    Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())).save(path)


def parts_of(network: nn.Module) -> tuple[Part, ...]:
    """What a survey finds of a network that was pickled whole."""
    return tuple(
        Part(path, Reference(type(module).__module__, type(module).__name__), _settings(module))
        for path, module in network.named_modules()
    )


def _settings(module: nn.Module) -> dict[str, object]:
    plain = (bool, int, float, str, tuple)
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and isinstance(value, plain)
    }
