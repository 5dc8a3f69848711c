"""Which output of the network does each clean image's label mean? Never realigned in silence."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backaudit.core.errors import CleanSetError
from backaudit.core.printable import printable
from backaudit.loading.clean_images.class_names import ClassNames
from backaudit.loading.clean_images.images import RawImages
from backaudit.nets.metrics import clean_accuracy

STRONG_AGREEMENT = 0.6
LEAST_ABOVE_CHANCE = 0.1
SIGNIFICANT = 1e-3
NAMED = 5


@dataclass(frozen=True)
class Matching:
    """What the labels of the clean images mean.

    Args:
        labels: (N,) int64, indices of the network's outputs.
        labelled: False if ``labels`` are the network's own predictions.
        class_names: one for each output; its number where no name is known.
        how: how labels and outputs were matched, for the report.
        accuracy: share of images that are classified as labelled; None if not labelled.
    """

    labels: Tensor
    labelled: bool
    class_names: tuple[str, ...]
    how: str
    accuracy: float | None


@dataclass(frozen=True)
class Order:
    """A way to read class names as outputs.

    Args:
        outputs: class name -> output.
        how: the rule, for the report.
    """

    outputs: Mapping[str, int]
    how: str


def match_classes(
    raw: RawImages, predictions: Tensor, num_classes: int, names: ClassNames | None
) -> Matching:
    """Match the labels of clean images to a network's outputs.

    Args:
        raw: the clean images.
        predictions: (N,) int64, the network's.
        num_classes: number of the network's outputs.
        names: what the outputs are called, if known.

    Raises:
        CleanSetError: if no rule says what the labels mean.
    """
    known = names.names if names else tuple(str(index) for index in range(num_classes))
    if raw.indices is not None:
        labels = _checked(torch.tensor(raw.indices), num_classes, raw.source)
        accuracy = clean_accuracy(predictions, labels)
        return Matching(labels, True, known, "labels are output indices", accuracy)
    if raw.labels is None:
        how = "no labels: the suspect's own predictions stand in for them"
        return Matching(predictions, False, known, how, None)
    order = _order(raw.labels, predictions, num_classes, names)
    labels = _labels(raw.labels, order.outputs)
    if names is None:
        called = {output: name for name, output in order.outputs.items()}
        known = tuple(called.get(index, str(index)) for index in range(num_classes))
    return Matching(labels, True, known, order.how, clean_accuracy(predictions, labels))


def agreed_labels(raw: RawImages, predictions: Tensor, num_classes: int) -> Tensor:
    """Labels (N,) under the one-to-one matching that predictions (N,) fit best.

    Good for comparing ways to prepare images before the order of the classes is known. Without
    labels, the predictions themselves; -1 for a class that no output is left for.
    """
    if raw.indices is not None:
        labels = torch.tensor(raw.indices)
        return torch.where((labels >= 0) & (labels < num_classes), labels, -1)
    if raw.labels is None:
        return predictions
    outputs = _agreement(raw.labels, predictions)
    # A class that is never predicted gets a leftover output, so that it counts as misclassified.
    left = iter(sorted(set(range(num_classes)) - set(outputs.values())))
    for label in sorted(set(raw.labels) - set(outputs)):
        outputs[label] = next(left, -1)
    return _labels(raw.labels, outputs)


def near_chance(matching: Matching, predictions: Tensor) -> str | None:
    """How poorly predictions (N,) agree with the labels, if no better than by chance; else None.

    Chance is what predictions as frequent as these would reach if they knew nothing of the images.
    The agreement must exceed it beyond doubt (exact binomial) and by a tenth of what is possible.
    """
    if matching.accuracy is None:
        return None
    chance = _chance(matching.labels, predictions, len(matching.class_names))
    least = chance + LEAST_ABOVE_CHANCE * (1 - chance)
    hits = int((matching.labels == predictions).sum())
    if matching.accuracy >= least and _tail(hits, len(predictions), chance) <= SIGNIFICANT:
        return None
    return (
        f"the suspect classifies {matching.accuracy:.0%} of the {len(predictions)} clean images as "
        f"labelled, and chance is {chance:.0%}"
    )


def best_agreement(raw: RawImages, predictions: Tensor) -> float | None:
    """Accuracy under the one-to-one matching that predictions (N,) fit best; None without names."""
    if raw.labels is None:
        return None
    agreed = _labels(raw.labels, _agreement(raw.labels, predictions))
    return clean_accuracy(predictions, agreed)


def _order(
    labels: Sequence[str], predictions: Tensor, num_classes: int, names: ClassNames | None
) -> Order:
    present = sorted(set(labels))
    if len(present) > num_classes:
        raise CleanSetError(
            f"the clean images have {len(present)} classes, but the network has {num_classes} "
            f"outputs. Remove the classes it does not know; found {_listed(present)}."
        )
    by_name = _by_name(present, names) if names is not None else None
    if by_name is not None:
        return by_name
    orders = _known_orders(present, num_classes)
    if not orders:
        return _by_agreement(labels, predictions, num_classes)
    return orders[0] if len(orders) == 1 else _most_accurate(orders, labels, predictions)


def _by_name(present: list[str], names: ClassNames) -> Order | None:
    """Read labels as names of outputs; None if the checkpoint's names are about something else."""
    exact = {name: index for index, name in enumerate(names.names)}
    folded = {_folded(name): index for index, name in enumerate(names.names)}
    spelled = Counter(map(_folded, names.names))
    outputs = {
        label: exact.get(label, folded.get(_folded(label), -1))
        for label in present
        if names.names.count(label) == 1 or spelled[_folded(label)] == 1
    }
    if len(set(outputs.values())) == len(present):
        return Order(outputs, f"by name, from {names.origin}")
    if not names.trusted:
        return None
    unknown = [label for label in present if label not in outputs]
    about = f"are not in it: {_listed(unknown)}" if unknown else "stand for the same name"
    raise CleanSetError(
        f"{names.origin} names {_listed(names.names)}, but {len(unknown) or 'some'} of the "
        f"{len(present)} classes of the clean images {about}. Rename the one or the other."
    )


def _known_orders(present: list[str], num_classes: int) -> list[Order]:
    """The usual rules that give every class an output, each different from those before it."""
    rules: list[Order] = []
    if all(name.isdecimal() and int(name) < num_classes for name in present):
        rules.append(Order({name: int(name) for name in present}, "class names are output indices"))
    if len(present) == num_classes:
        for kind, names in (("alphabetical", present), ("natural", sorted(present, key=_natural))):
            how = f"classes in {kind} order are the outputs in order"
            rules.append(Order({name: index for index, name in enumerate(names)}, how))
    different: list[Order] = []
    for rule in rules:
        one_to_one = len(set(rule.outputs.values())) == len(present)
        if one_to_one and all(rule.outputs != earlier.outputs for earlier in different):
            different.append(rule)
    return different


def _most_accurate(orders: list[Order], labels: Sequence[str], predictions: Tensor) -> Order:
    tried = [
        (clean_accuracy(predictions, _labels(labels, order.outputs)), order) for order in orders
    ]
    accuracy, best = max(tried, key=lambda pair: pair[0])
    others = "; ".join(f"{order.how}: {share:.0%}" for share, order in tried if order is not best)
    return Order(best.outputs, f"{best.how}, as {accuracy:.0%} accuracy says ({others})")


def _by_agreement(labels: Sequence[str], predictions: Tensor, num_classes: int) -> Order:
    outputs = _agreement(labels, predictions)
    agreement = clean_accuracy(predictions, _labels(labels, outputs))
    present = sorted(set(labels))
    if agreement < STRONG_AGREEMENT or len(outputs) < len(present):
        raise CleanSetError(
            f"the clean images have {len(present)} of the network's {num_classes} classes "
            f"({_listed(present)}), and nothing says which: even the best matching agrees with "
            f"the predictions on {agreement:.0%} of the images only. Name all outputs with "
            "--classes, or call the folders by output index."
        )
    how = f"by agreement with predictions ({agreement:.0%}): each class is the output it gets most"
    return Order(outputs, how)


def _agreement(labels: Sequence[str], predictions: Tensor) -> dict[str, int]:
    """Match each class to an output of its own, the most frequent pairs first."""
    pairs = Counter(zip(labels, predictions.tolist(), strict=True))
    outputs: dict[str, int] = {}
    for (label, output), _ in sorted(pairs.items(), key=lambda item: (-item[1], item[0])):
        if label not in outputs and output not in outputs.values():
            outputs[label] = output
    return outputs


def _labels(labels: Sequence[str], outputs: Mapping[str, int]) -> Tensor:
    return torch.tensor([outputs.get(label, -1) for label in labels])


def _checked(indices: Tensor, num_classes: int, source: str) -> Tensor:
    lowest, highest = int(indices.min()), int(indices.max())
    if lowest < 0 or highest >= num_classes:
        raise CleanSetError(
            f"the labels of {printable(source, 200)} range from {lowest} to {highest}, but the "
            f"network's {num_classes} outputs are 0 to {num_classes - 1}. Number the labels from "
            "0, or use images of the classes the network knows."
        )
    return indices


def _chance(labels: Tensor, predictions: Tensor, num_classes: int) -> float:
    guess = 1 / num_classes
    expected = torch.bincount(labels, minlength=num_classes) / len(labels)
    if expected.max() == 1:
        # Of one class only, predictions that know everything and that know nothing look alike.
        return guess
    predicted = torch.bincount(predictions, minlength=num_classes) / len(predictions)
    return max(guess, float(expected @ predicted))


def _tail(hits: int, count: int, chance: float) -> float:
    """Probability of at least ``hits`` of ``count`` where each hits with probability ``chance``."""
    ways = math.lgamma(count + 1)
    return math.fsum(
        math.exp(
            ways
            - math.lgamma(k + 1)
            - math.lgamma(count - k + 1)
            + k * math.log(chance)
            + (count - k) * math.log1p(-chance)
        )
        for k in range(hits, count + 1)
    )


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Sort key that puts ``class10`` after ``class2``."""
    parts = re.findall(r"\d+|\D+", name)
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().casefold()


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(repr(printable(name)) for name in names[:NAMED]) + more
