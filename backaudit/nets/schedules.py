"""How the learning rate goes from step to step."""

from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
)

Schedule = Literal["one-cycle", "constant", "cosine", "steps", "growing"]
DROPS = (0.5, 0.75)
TENFOLD = 50


def schedule_of(name: Schedule, optimizer: Optimizer, steps: int) -> LRScheduler:
    """The schedule of an optimizer.

    Args:
        name: ``one-cycle`` rises to the learning rate and falls to zero, ``constant`` stays at it,
            ``cosine`` falls to zero, ``steps`` falls to a tenth after a half and after three
            quarters of the training, ``growing`` grows tenfold every 50 steps.
        optimizer: what it steers.
        steps: of the whole training.
    """
    if name == "one-cycle":
        # A rise over a quarter of four steps would last zero steps, by which the schedule divides.
        rise = 0.25 if steps > 4 else 0.4
        return OneCycleLR(optimizer, optimizer.param_groups[0]["lr"], steps, pct_start=rise)
    if name == "cosine":
        return CosineAnnealingLR(optimizer, steps)
    if name == "steps":
        return MultiStepLR(optimizer, [max(1, int(share * steps)) for share in DROPS])
    if name == "growing":
        return ExponentialLR(optimizer, 10 ** (1 / TENFOLD))
    return ConstantLR(optimizer, factor=1.0)
