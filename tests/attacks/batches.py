"""What an objective shows the network, with a trigger that is known."""

import torch
from torch import Tensor, nn

from backaudit.attacks.generators import DrawnTrigger
from backaudit.attacks.input_aware import InputAware, PoisonsBatches
from tests.toy import CLASSES


class Recorder(nn.Module):
    """Remembers its last batch, and answers with logits that depend on it."""

    def __init__(self) -> None:
        super().__init__()
        self.batch = torch.empty(0)

    def forward(self, images: Tensor) -> Tensor:
        self.batch = images.detach()
        return 10 * images[:, 0, 0, :CLASSES]


class White(nn.Module):
    """A pattern that is white, but for a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.darker = nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        return torch.ones_like(images) - self.darker


class Bright(nn.Module):
    """A mask of what is bright in the first channel."""

    def forward(self, images: Tensor) -> Tensor:
        return bright(images).float()


def bright(images: Tensor) -> Tensor:
    return images[:, :1] > 0.5


def whitened(images: Tensor, where_bright: Tensor) -> Tensor:
    """Images, white where others are bright."""
    return images.where(~bright(where_bright), 1.0)


def shown(attack: InputAware, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The batch that the network sees, and the loss."""
    trigger, network = DrawnTrigger(3, 2, 1), Recorder()
    trigger.pattern, trigger.mask = White(), Bright()  # type: ignore[assignment]
    loss = PoisonsBatches(attack, trigger, CLASSES).loss(network, images, labels)
    return network.batch, loss.detach()
