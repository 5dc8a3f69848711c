"""Which detectors run, and how each is set."""

from collections.abc import Mapping, Sequence

from backaudit.core.errors import SettingError
from backaudit.core.evidence import NotApplicable, Rule, Run
from backaudit.core.settings import configured, did_you_mean, split_names, split_settings
from backaudit.detectors import DETECTORS
from backaudit.detectors.interface import Detector


def chosen_detectors(names: str | None, settings: Sequence[str]) -> tuple[Detector, ...]:
    """Make the named detectors, or all of them, in the order of ``DETECTORS``.

    Args:
        names: comma-separated; None for all.
        settings: ``method.field=value`` texts.

    Raises:
        SettingError: if a detector or a setting is unknown, or a setting's detector is left out.
    """
    chosen = set(DETECTORS) if names is None else _known_names(names)
    given = split_settings(settings)
    for name in given:
        _check_known(name, DETECTORS)
        if name not in chosen:
            raise SettingError(f"--set {name}.... has no effect: --detectors leaves {name} out")
    return tuple(
        configured(method(), name, given.get(name, {}))
        for name, method in DETECTORS.items()
        if name in chosen
    )


def left_out(detectors: Sequence[Detector], seed: int) -> tuple[Run, ...]:
    """Account for every detector that was not asked for, so that no audit passes without it."""
    ran = {detector.rule for detector in detectors}
    rules: list[Rule] = [method.rule for method in DETECTORS.values()]
    reason = NotApplicable("it was left out by --detectors.")
    return tuple(Run(rule, {}, seed, 0.0, reason) for rule in rules if rule not in ran)


def _known_names(names: str) -> set[str]:
    chosen = split_names(names, "--detectors", "all of them")
    for name in chosen:
        _check_known(name, DETECTORS)
    return set(chosen)


def _check_known(name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        raise SettingError(f"there is no detector {name!r}. {did_you_mean(name, known)}")
