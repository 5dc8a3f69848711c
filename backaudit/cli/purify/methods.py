"""Which purifiers run, and how each is set."""

from collections.abc import Mapping, Sequence

from backaudit.core.errors import SettingError
from backaudit.core.settings import configured, did_you_mean, split_names, split_settings
from backaudit.purification.choosing import AUTO, AUTOMATIC
from backaudit.purifiers import PURIFIERS
from backaudit.purifiers.in_turn import JOINED, in_turn, steps_of
from backaudit.purifiers.interface import Purifier


def chosen_purifiers(
    method: str, settings: Sequence[str], option: str = "--method"
) -> tuple[Purifier, ...]:
    """Make the named purifiers in the order in which they are named.

    Args:
        method: ``auto``, or names separated by commas. Names joined by ``+`` are one purifier that
            runs them one after the other.
        settings: ``method.field=value`` texts.
        option: that names them, for messages.

    Raises:
        SettingError: if a purifier or a setting is unknown, or a setting's purifier does not run.
    """
    if method == AUTO:
        return with_settings(AUTOMATIC, settings, option)
    named = [named_purifier(name, option) for name in split_names(method, option, AUTO)]
    return with_settings(named, settings, option)


def named_purifier(name: str, option: str) -> Purifier:
    """The purifier of a name, or of several joined by ``+``, as it is without settings.

    Raises:
        SettingError: if it is unknown, or named twice.
    """
    steps = name.split(JOINED)
    if AUTO in steps:
        raise SettingError(f"{AUTO} chooses by itself: name it alone in {option}, or the others")
    for step in steps:
        _require_known(step)
    if len(set(steps)) < len(steps):
        raise SettingError(f"{option} {name} names a purifier twice; name each once")
    return in_turn([PURIFIERS[step]() for step in steps])


def with_settings(
    purifiers: Sequence[Purifier], settings: Sequence[str], option: str
) -> tuple[Purifier, ...]:
    """Purifiers as they are, except for what is set; one that runs several times is set each time.

    Args:
        purifiers: that run.
        settings: ``method.field=value`` texts.
        option: that names purifiers, for messages.

    Raises:
        SettingError: if a purifier or a setting is unknown, or a setting's purifier does not run.
    """
    given = split_settings(settings)
    running = {step.rule.name for each in purifiers for step in steps_of(each)}
    for name in given:
        _require_known(name)
        if name not in running:
            raise SettingError(
                f"--set {name}.... has no effect: {name} does not run; name it in {option}"
            )
    return tuple(
        in_turn([_configured(step, given) for step in steps_of(each)]) for each in purifiers
    )


def _require_known(name: str) -> None:
    if name not in PURIFIERS:
        known = (AUTO, *PURIFIERS)
        raise SettingError(f"there is no purifier {name!r}. {did_you_mean(name, known)}")


def _configured(purifier: Purifier, given: Mapping[str, Mapping[str, str]]) -> Purifier:
    """A purifier whose numbers are none that no purifier can work with."""
    name = purifier.rule.name
    made = configured(purifier, name, given.get(name, {}))
    for setting in given.get(name, {}):
        value, least = getattr(made, setting), int(setting.endswith("batch_size"))
        if isinstance(value, int | float) and value < least:
            raise SettingError(f"{name}.{setting}: {value:g} is too small; {least} is the least")
    return made
