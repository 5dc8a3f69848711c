"""Which purifiers run, and how each is set."""

from collections.abc import Mapping, Sequence

from backaudit.core.errors import SettingError
from backaudit.core.settings import configured, did_you_mean, split_names, split_settings
from backaudit.purification.choosing import AUTO, AUTOMATIC
from backaudit.purifiers import PURIFIERS
from backaudit.purifiers.interface import Purifier


def chosen_purifiers(
    method: str, settings: Sequence[str], option: str = "--method"
) -> tuple[Purifier, ...]:
    """Make the named purifiers in the order in which they are named.

    Args:
        method: ``auto``, or names separated by commas.
        settings: ``method.field=value`` texts.
        option: that names them, for messages.

    Raises:
        SettingError: if a purifier or a setting is unknown, or a setting's purifier does not run.
    """
    chosen = tuple(name for name in AUTOMATIC if name in PURIFIERS)
    if method != AUTO:
        chosen = split_names(method, option, AUTO)
    if AUTO in chosen:
        raise SettingError(f"{AUTO} chooses by itself: name it alone in {option}, or the others")
    given = split_settings(settings)
    for name in (*chosen, *given):
        if name not in PURIFIERS:
            known = (AUTO, *PURIFIERS)
            raise SettingError(f"there is no purifier {name!r}. {did_you_mean(name, known)}")
    for name in given:
        if name not in chosen:
            raise SettingError(
                f"--set {name}.... has no effect: {name} does not run; name it in {option}"
            )
    return tuple(_configured(name, given.get(name, {})) for name in chosen)


def _configured(name: str, given: Mapping[str, str]) -> Purifier:
    """A purifier whose numbers are none that no purifier can work with."""
    made = configured(PURIFIERS[name], name, given)
    for setting in given:
        value, least = getattr(made, setting), int(setting.endswith("batch_size"))
        if isinstance(value, int | float) and value < least:
            raise SettingError(f"{name}.{setting}: {value:g} is too small; {least} is the least")
    return made
