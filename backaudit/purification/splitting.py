"""Clean images to train on, to choose by, and to measure on."""

from collections.abc import Iterator, Sequence
from math import ceil

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError
from backaudit.core.measured import Split
from backaudit.core.printable import counted, printable
from backaudit.purifiers.interface import Purifier

FIT, VALIDATION = 0.6, 0.15
FEWEST_TEST = 10
FEWEST = 40
NAMED = 5


def divided(clean: CleanSet, class_names: Sequence[str]) -> Split:
    """Divide each class into 60 % to fit, 15 % to choose by and 25 % to measure on.

    The same images always come into the same part, whatever the seed, so that methods and seeds can
    be compared.

    Args:
        clean: trusted images.
        class_names: one for each class of the suspect.

    Raises:
        NotApplicableError: if too few are left to choose by or to measure on.
    """
    rest, test = clean.split(FIT + VALIDATION)
    fit, validation = rest.split(FIT / (FIT + VALIDATION))
    if len(test) < FEWEST_TEST or not len(validation):
        raise NotApplicableError(
            f"purifying takes {FEWEST} clean images or more, several of each class. Of "
            f"{len(clean)} it would train on {len(fit)}, choose by {len(validation)} (at least 1) "
            f"and measure on {len(test)} (at least {FEWEST_TEST})."
        )
    return Split(fit, validation, test, tuple(_warnings(clean, test, class_names)))


def lacking(purifier: Purifier, split: Split) -> str:
    """Why there are too few images for a purifier, and how many it needs; empty if there are not.

    Args:
        purifier: with its settings.
        split: the clean images.
    """
    needed, found = purifier.fewest_images, len(split.fit)
    if found >= needed:
        return ""
    given = found + len(split.validation) + len(split.test)
    return (
        f"{purifier.rule.name} needs {counted(needed, 'image')} to train on, and {FIT:.0%} of "
        f"{given} clean images are {found}: give {ceil(needed / FIT)} or more."
    )


def _warnings(clean: CleanSet, test: CleanSet, class_names: Sequence[str]) -> Iterator[str]:
    if not clean.labelled:
        yield (
            "The images have no labels, so the suspect's own answers stand in for them: its "
            "mistakes are taught as readily as its knowledge, what the backdoor made of these "
            "images too, and accuracy means agreement with the suspect."
        )
    present = set(clean.labels.tolist())
    missing = [label for label in range(len(class_names)) if label not in present]
    if missing:
        yield (
            f"Without a clean image: {_listed(missing, class_names)}. A purifier may make a "
            "network forget what it is not shown, and without images nobody can tell."
        )
    unmeasured = sorted(present - set(test.labels.tolist()))
    if unmeasured:
        yield (
            f"Too few images to measure the accuracy of {_listed(unmeasured, class_names)}: 4 of a "
            "class leave one for that."
        )


def _listed(labels: Sequence[int], class_names: Sequence[str]) -> str:
    named = ", ".join(f"'{printable(class_names[label], 32)}'" for label in labels[:NAMED])
    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    number = "one class" if len(labels) == 1 else f"{len(labels)} classes"
    return f"{number}, {named}{more}"
