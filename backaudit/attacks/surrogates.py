"""The benign network that some attackers have, to compute a trigger on or to start from."""

from torch import nn

from backaudit.core.errors import SettingError


def required(surrogate: nn.Module | None, name: str) -> nn.Module:
    """The surrogate that the attack, or the recipe, called ``name`` needs.

    Raises:
        SettingError: if there is none.
    """
    if surrogate is None:
        raise SettingError(f"{name} needs a benign network: name a surrogate")
    return surrogate
