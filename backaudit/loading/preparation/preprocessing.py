"""How does this network want its images? Stated, or chosen by what fits the network best."""

from collections.abc import Mapping

from torch import nn

from backaudit.core.errors import CheckpointError
from backaudit.core.suspect import Preprocessing
from backaudit.loading.clean_images.images import RawImages
from backaudit.loading.preparation.conventions import Stated, conventions, stated_in
from backaudit.loading.preparation.trials import STATISTICS, Ranking, Reading, Size, Trial, Trials

USUAL_SIZES: tuple[Size, ...] = ((32, 32), (28, 28), (64, 64), (224, 224))
LARGEST_NATIVE = 240
# A network for 32 pixels is never fed photographs, however well it could take them.
LARGEST_RATIO = 2
CONTRADICTED = 3.0
# Measured: images of the kind 0.001 to 0.04, also of one class only; random noise 0.25 to 1.
POOR = 0.1


def choose_preprocessing(
    network: nn.Module,
    in_channels: int,
    input_size: int | None,
    raw: RawImages,
    metadata: Mapping[str, object],
    overrides: Stated,
) -> Preprocessing:
    """Take what is stated, and choose the rest by what fits the network best.

    Options win over the checkpoint's metadata, and these over what fits best; where the network's
    own statistics contradict the metadata, the answer says so.

    Args:
        network: in eval mode, without normalisation; left as it was.
        in_channels: 1 or 3.
        input_size: the architecture's usual height and width, if it has one.
        raw: the clean images.
        metadata: of the checkpoint.
        overrides: the options.

    Raises:
        CheckpointError: if the network gives class scores for no size that was tried.
        SettingError: if the options make no sense.
    """
    given, stated = overrides.convention(in_channels), stated_in(metadata, in_channels)
    trials = Trials(network, in_channels, raw)
    sizes = _sizes(trials, input_size, overrides.size, stated)
    if given is not None and len(sizes) == 1:
        (size,) = sizes
        return _preprocessing(Trial(size, given), "mean and std given by options", sizes)
    said = stated.convention(in_channels) if given is None else None
    table = conventions(in_channels) if given is None else (given,)
    if said is not None:
        table = (said, *(usual for usual in table if usual.name != said.name))
    ranking = trials.ranked([Trial(size, usual) for size in sizes for usual in table], keep=said)
    best, how = ranking.readings[0], _lead(ranking)
    if given is not None:
        how = f"mean and std given by options; {how}"
    if said is not None:
        best = next(reading for reading in ranking.readings if reading.trial.convention == said)
        how = f"stated by {stated.origin}; {_agreement(best, ranking)}"
    return _preprocessing(best.trial, how, sizes)


def _sizes(
    trials: Trials, input_size: int | None, given: Size | None, stated: Stated
) -> dict[Size, str]:
    """The sizes to try, each with the reason for it.

    Raises:
        CheckpointError: if the network gives class scores for none of them.
    """
    if given is not None:
        return _feasible(trials, {given: "given by options"})
    likely: dict[Size, str] = {}
    if stated.size is not None:
        likely = {stated.size: f"stated by {stated.origin}"}
    else:
        native = trials.raw.uniform_size
        longest = min(LARGEST_NATIVE, LARGEST_RATIO * (input_size or LARGEST_NATIVE))
        if input_size is not None:
            likely[input_size, input_size] = "usual for the architecture"
        if native is not None and max(native) <= longest:
            likely.setdefault(native, "the images' own")
    usual = dict.fromkeys(USUAL_SIZES, "a usual size that the network takes")
    if likely and (feasible := _feasible(trials, likely, required=False)):
        return feasible
    return _feasible(trials, usual)


def _feasible(trials: Trials, sizes: dict[Size, str], *, required: bool = True) -> dict[Size, str]:
    misfits = {size: trials.misfit(size) for size in sizes}
    feasible = {size: why for size, why in sizes.items() if misfits[size] is None}
    if required and not feasible:
        tried = "; ".join(f"{_pixels(size)}: {misfit}" for size, misfit in misfits.items())
        raise CheckpointError(
            f"the network gives no class scores for images of the sizes tried ({tried}). Give the "
            "size it was trained on with --size, or check --arch or --model-def; only image "
            "classifiers can be audited."
        )
    return feasible


def _preprocessing(trial: Trial, how: str, sizes: dict[Size, str]) -> Preprocessing:
    mean, std = trial.convention.mean, trial.convention.std
    why = f"{how}; size {_pixels(trial.size)}: {sizes[trial.size]}"
    return Preprocessing(trial.size, mean, std, trial.convention.name, why)


def _lead(ranking: Ranking) -> str:
    """What was measured, and how far ahead the winner is."""
    best, *others = ranking.readings
    text = f"{ranking.criterion} {best.value}"
    if others:
        close = "level with" if others[0].misfit < best.misfit else "next best"
        text += f", {close} {_named(others[0], best)} {others[0].value}"
    if ranking.criterion == STATISTICS and best.misfit > POOR:
        text += " (a poor fit: the images may be of another kind than the network was trained on)"
    return text


def _agreement(stated: Reading, ranking: Ranking) -> str:
    best = ranking.readings[0]
    if best is stated:
        return _lead(ranking)
    text = f"{ranking.criterion} {stated.value}, {_named(best, stated)} {best.value}"
    if ranking.criterion == STATISTICS and stated.misfit > CONTRADICTED * best.misfit:
        text += ": the statistics contradict the checkpoint; check --mean, --std and --size"
    return text


def _named(reading: Reading, other: Reading) -> str:
    name, size = reading.trial.convention.name, reading.trial.size
    return name if size == other.trial.size else f"{name} at {_pixels(size)}"


def _pixels(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
