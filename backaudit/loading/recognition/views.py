"""Ways to see a file's tensors: as they are named, without what was wrapped around the network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from backaudit.core.printable import printable

MEANS = ("mean", "mu", "_mean", "image_mean", "pixel_mean", "means")
STDS = ("std", "sigma", "_std", "image_std", "pixel_std", "stds")
MOST_CHANNELS = 4


@dataclass(frozen=True)
class View:
    """Tensors under the names that a network might have for them.

    Args:
        state: name -> tensor.
        stated: ``mean`` and ``std`` that were among the tensors.
        note: what was left out or taken off; empty if nothing was.
    """

    state: Mapping[str, Tensor]
    stated: Mapping[str, object] = field(default_factory=dict)
    note: str = ""


def views(state: Mapping[str, Tensor]) -> Iterator[View]:
    """The tensors as they are named, then without prefixes that all names share.

    Buffers of a normalisation that stands before the network, or in it, are taken out first.
    """
    bare = _without_normalisation(state)
    yield bare
    while prefix := _shared(bare.state):
        shorter = {name.removeprefix(prefix): tensor for name, tensor in bare.state.items()}
        if bare.stated or bare.note:
            note = bare.note
        else:
            note = (
                f"All names start with {printable(prefix)}, which was taken off: what else the "
                "wrapper does, if anything, is taken to be normalisation."
            )
        bare = View(shorter, bare.stated, note)
        yield bare


def _without_normalisation(state: Mapping[str, Tensor]) -> View:
    for name, mean in state.items():
        parent, dot, own = name.rpartition(".")
        if own not in MEANS or not _per_channel(mean):
            continue
        deviation = f"{parent}{dot}{STDS[MEANS.index(own)]}"
        if not _per_channel(state.get(deviation)):
            continue
        rest = {key: each for key, each in state.items() if key not in (name, deviation)}
        where = f"{printable(name)} and {printable(deviation)}"
        note = f"The network normalises its images by itself ({where}); these numbers were used."
        if mean.is_meta:
            return View(rest, {}, note)
        stated = {"mean": _numbers(mean), "std": _numbers(state[deviation])}
        return View(rest, stated, note)
    return View(state)


def _per_channel(tensor: Tensor | None) -> bool:
    """Whether a tensor is one number for each channel, and nothing else."""
    if tensor is None or not tensor.is_floating_point():
        return False
    long = [size for size in tensor.shape if size != 1]
    return len(long) <= 1 and tensor.numel() <= MOST_CHANNELS


def _numbers(tensor: Tensor) -> list[float]:
    listed: list[float] = tensor.flatten().tolist()
    return listed


def _shared(state: Mapping[str, Tensor]) -> str:
    """The first part of all names with its dot; empty if they differ in it."""
    firsts = {name.partition(".")[0] for name in state if "." in name}
    whole = all(name.count(".") > 1 for name in state)
    return f"{firsts.pop()}." if len(firsts) == 1 and whole else ""
