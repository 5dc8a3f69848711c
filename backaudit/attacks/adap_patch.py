"""Adap-Patch: four faint patches, of which training shows one at a time."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backaudit.attacks.covered import Covered
from backaudit.attacks.interface import Learned, TrainingSet
from backaudit.core.errors import SettingError

_SIDE = 32


@dataclass(frozen=True)
class AdapPatch(Covered):
    """Revisiting the Assumption of Latent Separability for Backdoor Defenses (Adap-Patch).

    Four patches each go faintly on a quarter of the poisoned images, which are relabelled as the
    target class, and on a quarter of twice as many covers, which keep their label. At test two of
    the patches appear at once, opaque.

    The patches, on images of 32x32 (other sizes scale them): 0, a square of 5x5 in the bottom-right
    corner, at test in the bottom-left one as well; 1, a disc of 13 pixels in the upper right; 2,
    checkerboards of 3x3 in all four corners; 3, a square of 8x8, 3 pixels off the bottom and the
    right.

    Differs from the official code: the patches have its places, sizes and opacities, but all except
    the checkerboards are random colours in place of logos, which are not ours to ship; poisoned
    images are never of the target class.

    Paper: Qi et al., ICLR 2023, https://openreview.net/forum?id=_wSHsgrVali; settings are those
    of the authors' toolbox.

    Args:
        target_class: class that triggered images are sent to; None for all-to-all.
        poison_rate: share of the training set that is poisoned, in (0, 1).
        cover_rate: share that is covers, in [0, 1).
        opacities: weight of each patch in training, in (0, 1].
        test_patches: what appears at test, by number; (1, 3) is published for GTSRB.
        pattern_seed: draws the colours.
    """

    poison_rate: float = 0.003
    cover_rate: float = 0.006
    opacities: tuple[float, float, float, float] = (0.5, 0.2, 0.5, 0.3)
    test_patches: tuple[int, ...] = (0, 2)
    pattern_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse patches that do not exist; turn the lists of a record in JSON into tuples."""
        super().__post_init__()
        object.__setattr__(self, "opacities", tuple(self.opacities))
        object.__setattr__(self, "test_patches", tuple(self.test_patches))
        if len(self.opacities) != 4 or not set(self.test_patches) <= set(range(4)):
            raise SettingError(
                "adap-patch has four patches: four opacities, and numbers from 0 to 3"
            )

    def learn(
        self, clean: TrainingSet, surrogate: nn.Module | None, generator: torch.Generator
    ) -> Learned:
        """Draw the patches: patterns (4, C, H, W) in [0, 255], masks (2, 4, H, W) of 0 and 1.

        The first row of masks is for training, the second for the test.
        """
        del surrogate, generator
        channels, height, width = clean.images.shape[1:]
        own = torch.Generator().manual_seed(self.pattern_seed)
        colours = 255 * torch.rand(4, channels, _SIDE, _SIDE, generator=own)
        # One square twice, not two squares.
        colours[0, :, -5:, :5] = colours[0, :, -5:, -5:]
        colours[2] = _checkerboards()[0]
        patterns, masks = (
            F.interpolate(layers, (height, width), mode="nearest-exact")
            for layers in (colours, _masks())
        )
        return {"patterns": patterns, "masks": masks}

    def stamp(self, images: Tensor, learned: Learned) -> Tensor:
        """Put the opaque patches of the test on images (N, C, H, W) uint8."""
        stamped = images
        for patch in self.test_patches:
            pattern = learned["patterns"][patch].round().to(images)
            shown = learned["masks"][1, patch].to(images.device) > 0
            stamped = torch.where(shown, pattern, stamped)
        return stamped

    def stamp_in_part(self, images: Tensor, learned: Learned, generator: torch.Generator) -> Tensor:
        """Put one faint patch on each of images (N, C, H, W) uint8: each on a quarter of them."""
        del generator
        patch = torch.arange(len(images)) * 4 // max(1, len(images))
        weights = torch.tensor(self.opacities)[:, None, None] * learned["masks"][0].cpu()
        weight = weights[patch].unsqueeze(1).expand(images.shape).to(images.device)
        pattern = learned["patterns"].to(images.device)[patch]
        return images.float().lerp(pattern, weight).round().to(torch.uint8)


def _masks() -> Tensor:
    """Where the patches are in training and at test: (2, 4, 32, 32)."""
    masks = torch.zeros(2, 4, _SIDE, _SIDE)
    masks[:, 0, 27:, 27:] = 1
    masks[1, 0, 27:, :5] = 1
    rows, columns = torch.arange(_SIDE)[:, None], torch.arange(_SIDE)
    masks[:, 1] = ((rows - 7) ** 2 + (columns - 24) ** 2 <= 6.5**2).float()
    masks[:, 2] = _checkerboards()[1]
    masks[:, 3, 21:29, 21:29] = 1
    return masks


def _checkerboards() -> tuple[Tensor, Tensor]:
    """The checkerboards (32, 32) in 0 and 255, and where they are, in 0 and 1."""
    quarters = torch.zeros(2, _SIDE // 2, _SIDE // 2)
    quarters[0, :3, :3] = 255 * torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 0]])
    quarters[1, :3, :3] = 1
    halves = torch.cat([quarters, quarters.flip(2)], dim=2)
    pattern, mask = torch.cat([halves, halves.flip(1)], dim=1)
    return pattern, mask
