"""Of networks that the same tensors fit, the one that knows the clean images best."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.core.progress import track
from backaudit.core.suspect import Preprocessing, as_input, batch_size
from backaudit.loading.clean_images.images import RawImages
from backaudit.loading.clean_images.matching import agreed_labels
from backaudit.loading.clean_images.resizing import fitted
from backaudit.loading.preparation.consistency import divergence, has_statistics
from backaudit.loading.preparation.conventions import Stated, stated_in
from backaudit.loading.preparation.filling_in import fill_in
from backaudit.loading.preparation.preprocessing import POOR, choose_preprocessing
from backaudit.loading.recognition.attempts import attempts, loaded, shapes_of
from backaudit.loading.recognition.recognised import Recognised
from backaudit.nets.metrics import clean_accuracy
from backaudit.nets.normalised import Normalised
from backaudit.nets.timm_models import timm_candidate, timm_installed

MOST_IMAGES = 512
STATISTICS_IMAGES = 64
# Below this a library's variant of the same tensors is worth a try.
DOUBTFUL = 0.5
# Answers that differ by a smaller share of their deviation are those of the same network.
SAME = 1e-4
MOST_RIVALS = 8


@dataclass(frozen=True)
class Chosen:
    """A network and how its images are prepared.

    Args:
        recognised: the network, with what was assumed of it.
        preprocessing: chosen for it.
    """

    recognised: Recognised
    preprocessing: Preprocessing


@dataclass(frozen=True)
class _Judged:
    """A network with how well it knows the clean images.

    Args:
        chosen: the network.
        misfit: lower is better.
        value: as the report words it; empty where nothing could be measured.
        poor: whether the network hardly knows the images.
    """

    chosen: Chosen
    misfit: float
    value: str
    poor: bool


def choose(
    recognised: Recognised, path: Path, raw: RawImages, stated: Stated, device: str | torch.device
) -> Chosen:
    """Fill in a chain, choose among rivals that answer differently, and choose the preprocessing.

    Args:
        recognised: what the tensors fit.
        path: of the checkpoint, for messages.
        raw: the clean images.
        stated: preprocessing that options state.
        device: where networks are put.

    Raises:
        CheckpointError: if a chain cannot be filled in, or a network cannot be run.
        SettingError: if the options make no sense.
    """
    if recognised.chain is not None:
        recognised = _filled_in(recognised, path, raw, stated)
    first = _prepared(recognised, raw, stated, device)
    rivals = [*recognised.rivals[:MOST_RIVALS]]
    if not rivals and not recognised.unbuilt:
        return first
    judged = _judged(first, raw)
    if judged.poor and not rivals:
        rivals = list(further_rivals(recognised))
    if judged.poor and recognised.unbuilt and not timm_installed():
        names = ", ".join(recognised.unbuilt)
        first = _saying(
            first, f"It knows the clean images poorly; {names} of timm has the same tensors."
        )
    different = [rival for rival in rivals if not _same(first, rival, raw)]
    if not different:
        return _noted(first, rivals)
    others = [_judged(_prepared(each, raw, stated, device), raw) for each in track(different, "")]
    return _winner([judged, *others])


def _filled_in(recognised: Recognised, path: Path, raw: RawImages, stated: Stated) -> Recognised:
    chain, channels = recognised.chain, recognised.in_channels
    convention = stated.convention(channels) or stated_in(recognised.metadata, channels).convention(
        channels
    )
    if chain is None:
        return recognised
    try:
        filled = fill_in(chain, recognised.state, raw, convention)
    except CheckpointError as error:
        raise CheckpointError(
            f"the architecture of {printable(path)} is not recognised: {error}"
        ) from error
    return replace(
        recognised,
        network=filled.network,
        filling=filled.filling,
        input_size=filled.filling.size,
        assumptions=(*recognised.assumptions, filled.how),
    )


def _prepared(
    recognised: Recognised, raw: RawImages, stated: Stated, device: str | torch.device
) -> Chosen:
    preprocessing = choose_preprocessing(
        placed(recognised.network, device),
        recognised.in_channels,
        recognised.input_size,
        raw,
        recognised.metadata,
        stated,
    )
    return Chosen(recognised, preprocessing)


def placed(network: nn.Module, device: str | torch.device) -> nn.Module:
    """Put a network where it is run, in eval mode and without gradients; it is changed in place.

    Channels come last in memory, which convolutions are faster at.
    """
    network.to(device).eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def further_rivals(recognised: Recognised) -> Iterator[Recognised]:
    """Build the networks of timm that the same tensors fit too, where timm is installed."""
    if not timm_installed():
        return
    shapes = shapes_of(recognised.state)
    for attempt in attempts(
        (timm_candidate(name, shapes) for name in recognised.unbuilt), recognised.state
    ):
        if attempt.comparison.fits:
            yield replace(
                recognised,
                network=loaded(attempt),
                architecture=attempt.candidate.name,
                rivals=(),
            )


@torch.no_grad()
def _same(first: Chosen, rival: Recognised, raw: RawImages) -> bool:
    """Whether a rival gives the same answers to images prepared for the first."""
    size, channels = first.preprocessing.size, first.recognised.in_channels
    one = first.recognised.network
    inputs = as_input(fitted(raw.spread(2).images, size, channels), next(one.parameters()).device)
    try:
        other: Tensor = rival.network.to(inputs.device).eval()(inputs)
    except (RuntimeError, ValueError, AssertionError):
        return False
    answers: Tensor = one(inputs)
    if other.shape != answers.shape:
        return False
    return bool((answers - other).abs().max() <= SAME * answers.std())


@torch.no_grad()
def _judged(chosen: Chosen, raw: RawImages) -> _Judged:
    """By labels if there are any, else by batch-norm statistics."""
    bare, preprocessing = chosen.recognised.network, chosen.preprocessing
    network = _normalised(bare, preprocessing)
    device = next(bare.parameters()).device
    some = raw.spread(MOST_IMAGES if raw.labelled else STATISTICS_IMAGES)
    images = fitted(some.images, preprocessing.size, chosen.recognised.in_channels)
    if raw.labelled:
        batches = [as_input(batch, device) for batch in images.split(batch_size(images))]
        predictions = torch.cat([network(batch).argmax(1).cpu() for batch in batches])
        labels = agreed_labels(some, predictions, chosen.recognised.num_classes)
        accuracy = clean_accuracy(predictions, labels)
        return _Judged(chosen, -accuracy, f"{accuracy:.1%}", accuracy < DOUBTFUL)
    if has_statistics(bare):
        misfit = divergence(network, as_input(images, device))
        return _Judged(chosen, misfit, f"{misfit:.4f}", misfit > POOR)
    return _Judged(chosen, 0.0, "", poor=False)


def _normalised(bare: nn.Module, preprocessing: Preprocessing) -> nn.Module:
    device = next(bare.parameters()).device
    return Normalised(bare, preprocessing.mean, preprocessing.std).to(device).eval()


def _noted(first: Chosen, rivals: Sequence[Recognised]) -> Chosen:
    if not rivals:
        return first
    names = ", ".join(each.architecture for each in rivals)
    return _saying(first, f"The same tensors fit {names} too, which answers alike.")


def _winner(judged: Sequence[_Judged]) -> Chosen:
    first = judged[0]
    best = min(judged, key=lambda each: each.misfit)
    names = ", ".join(each.chosen.recognised.architecture for each in judged if each is not first)
    if not first.value:
        return _saying(
            first.chosen,
            f"The same tensors fit {names} too and answer differently; --arch chooses.",
        )
    criterion = "clean accuracy" if best.value.endswith("%") else "divergence of the statistics"
    values = "; ".join(
        f"{each.chosen.recognised.architecture} {each.value}" for each in judged if each is not best
    )
    return _saying(
        best.chosen,
        f"Of several networks that the tensors fit, {best.chosen.recognised.architecture} knows "
        f"the clean images best ({criterion} {best.value}; {values}); --arch chooses otherwise.",
    )


def _saying(chosen: Chosen, text: str) -> Chosen:
    recognised = chosen.recognised
    told = replace(recognised, assumptions=(*recognised.assumptions, text))
    return replace(chosen, recognised=told)
