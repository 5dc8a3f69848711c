"""Which screeners run, and how each is set."""

from collections.abc import Mapping, Sequence

from backaudit.core.errors import SettingError
from backaudit.core.screening import Calibration
from backaudit.core.settings import configured, did_you_mean, split_names, split_settings
from backaudit.screeners import SCREENERS
from backaudit.screeners.interface import Screener

DEFAULT = "ibd-psc"
# The published score reaches 1 on clean images too: no threshold then keeps to a rate and flags.
AT_A_RATE = {"ibd-psc": {"score": "margin", "threshold": "none"}}


def chosen_screeners(
    names: str | None, settings: Sequence[str], false_flag_rate: float | None = None
) -> tuple[Screener, ...]:
    """Make the named screeners, in the order in which they are named.

    Args:
        names: comma-separated; None for ``DEFAULT``.
        settings: ``method.field=value`` texts.
        false_flag_rate: that thresholds are to keep to; None for the methods' own.

    Raises:
        SettingError: if a screener or a setting is unknown, or a setting's screener is left out.
    """
    chosen = split_names(names, "--screeners", DEFAULT) if names is not None else (DEFAULT,)
    given = split_settings(settings)
    for name in (*chosen, *given):
        if name not in SCREENERS:
            raise SettingError(f"there is no screener {name!r}. {did_you_mean(name, SCREENERS)}")
    for name in given:
        if name not in chosen:
            raise SettingError(
                f"--set {name}.... has no effect: {name} does not run; name it in --screeners"
            )
    usual = AT_A_RATE if false_flag_rate is not None else {}
    return tuple(
        configured(SCREENERS[name](), name, _completed(given.get(name, {}), usual.get(name, {})))
        for name in chosen
    )


def _completed(given: Mapping[str, str], usual: Mapping[str, str]) -> Mapping[str, str]:
    """What the user sets, and the usual values unless one of them is among it."""
    return given if given.keys() & usual.keys() else {**usual, **given}


def chosen_calibrations(
    names: str | None, calibrations: Sequence[Calibration]
) -> tuple[Calibration, ...]:
    """Take the named calibrations, in the order in which they are named; None for all.

    Raises:
        SettingError: if none is named, or there is none of a screener that is named.
    """
    if names is None:
        return tuple(calibrations)
    held = {calibration.method: calibration for calibration in calibrations}
    named = split_names(names, "--screeners", "all of the calibration's")
    for name in named:
        if name not in held:
            raise SettingError(
                f"--screeners {name}: the calibration holds {', '.join(held)} alone. Calibrate "
                f"again: --clean DIR --calibrate FILE --screeners {names}"
            )
    return tuple(held[name] for name in named)
