"""The benign network that some attackers compute their trigger on."""

from torch import nn

from backaudit.core.errors import SettingError


def required(surrogate: nn.Module | None, attack: str) -> nn.Module:
    """The surrogate that ``attack`` needs.

    Raises:
        SettingError: if there is none.
    """
    if surrogate is None:
        raise SettingError(f"{attack} computes its trigger on a benign network: name a surrogate")
    return surrogate
