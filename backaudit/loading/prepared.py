"""A suspect whose preparation is known already: loaded without clean images."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain as chained
from pathlib import Path

from backaudit.core.errors import CheckpointError, SettingError
from backaudit.core.printable import printable
from backaudit.core.restoring import restored
from backaudit.core.suspect import Prepared, Suspect, fixed_images
from backaudit.loading.assembly import assembled, recognised_in, suspect_of
from backaudit.loading.load import LoadOptions
from backaudit.loading.preparation.choosing import MOST_RIVALS, further_rivals, placed
from backaudit.loading.recognition.fitting import fill
from backaudit.loading.recognition.recognised import Recognised
from backaudit.loading.weights.checkpoint import read_checkpoint
from backaudit.nets.chains.filling import ACTIVATIONS, Filling
from backaudit.nets.chains.network import ChainNetwork

DECIDED = ("arch", "classes", "size", "mean", "std")


def prepared_of(suspect: Suspect) -> Prepared:
    """Write down what it takes to load a suspect again without clean images.

    Raises:
        CheckpointError: if its answers are not finite.
    """
    answers = suspect.logits(fixed_images(suspect.image_shape)).double()
    if not bool(answers.isfinite().all()):
        raise CheckpointError(
            f"{printable(suspect.path)} answers images with NaN or infinite scores: it is broken."
        )
    return Prepared(
        sha256=suspect.sha256,
        architecture=suspect.architecture,
        image_shape=suspect.image_shape,
        class_names=suspect.class_names,
        preprocessing=suspect.preprocessing,
        making=suspect.making,
        assumptions=suspect.assumptions,
        answers=tuple(tuple(row) for row in answers.tolist()),
    )


def load_prepared(model: Path, prepared: Prepared, options: LoadOptions | None = None) -> Suspect:
    """Load a suspect without clean images, as it was prepared with them.

    Args:
        model: the checkpoint's file.
        prepared: what clean images decided when it was loaded with them.
        options: only ``device``, ``limits`` and, for a network that was loaded with one,
            ``model_def`` may be stated.

    Raises:
        UnsafeFileError: if the suspect's file would run code, or deceives; nothing was loaded.
        CalibrationError: if it is another file.
        CheckpointError: if the suspect cannot be read, or is not the network that was prepared.
        SettingError: if an option states what was prepared, or the definition is missing.
    """
    options = options or LoadOptions()
    _require_open(prepared, options)
    checkpoint = read_checkpoint(model, limits=options.limits)
    prepared.require(checkpoint.sha256, model)
    making, preprocessing = prepared.making, prepared.preprocessing
    found = recognised_in(checkpoint, making.arch, options.model_def, making.size)
    for each in candidates(found, prepared):
        placed(each.network, options.device)
        images = fixed_images((each.in_channels, *preprocessing.size))
        made = assembled(checkpoint, each, preprocessing, images, making.undone)
        suspect = suspect_of(checkpoint, each, preprocessing, made)
        if _answers_alike(suspect, prepared):
            return replace(
                suspect,
                architecture=prepared.architecture,
                class_names=prepared.class_names,
                assumptions=prepared.assumptions,
                making=making,
            )
    raise CheckpointError(
        f"{printable(model)} does not become the network that was calibrated, "
        f"{printable(prepared.architecture)}: the definition of the network, or an installed "
        "library that makes it, has changed. Calibrate again with clean images."
    )


def _require_open(prepared: Prepared, options: LoadOptions) -> None:
    for name in DECIDED:
        if getattr(options, name) is not None:
            raise SettingError(f"--{name} was decided by the calibration; leave it out.")
    if prepared.making.defined and options.model_def is None:
        raise SettingError(
            f"the calibrated network was made by {printable(prepared.architecture)}, a definition "
            "that is not in the calibration; give --model-def FILE.py:NAME again."
        )
    if options.model_def is not None and not prepared.making.defined:
        raise SettingError(
            "the calibrated network was made without a definition; leave --model-def out."
        )


def candidates(found: Recognised, prepared: Prepared) -> Iterator[Recognised]:
    """The networks of the same tensors that could be the one that was prepared, in a fixed order.

    Args:
        found: what the tensors of the checkpoint fit.
        prepared: what is known of the network.

    Raises:
        CheckpointError: if it is a chain of layers, and not one of this checkpoint's.
    """
    if prepared.making.defined:
        yield found
    elif found.chain is not None:
        yield _filled_in(found, prepared)
    else:
        likely = chained((found, *found.rivals[:MOST_RIVALS]), further_rivals(found))
        yield from (each for each in likely if each.architecture == prepared.architecture)


def _filled_in(found: Recognised, prepared: Prepared) -> Recognised:
    """A chain, filled in as it was.

    Raises:
        CheckpointError: if the filling is not of this chain.
    """
    if found.chain is None:
        return found
    try:
        filling = restored(Filling, prepared.making.filling, "filling")
    except ValueError as error:
        raise CheckpointError(f"the calibration's chain of layers is unusable: {error}.") from error
    known = filling.activation in ACTIVATIONS
    if not known or (found.chain.convs and len(filling.reduced) != len(found.chain.convs)):
        raise CheckpointError("the calibration's chain of layers is not that of this model.")
    network = fill(ChainNetwork(found.chain, filling), found.state)
    return replace(found, network=network, filling=filling)


def _answers_alike(suspect: Suspect, prepared: Prepared) -> bool:
    """Whether it answers the fixed images as the network that was prepared did."""
    if suspect.image_shape != prepared.image_shape:
        return False
    return prepared.is_answered(suspect.logits(fixed_images(suspect.image_shape)))
