"""What a network does on images that it was not purified with."""

from backaudit.audit import scan
from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import CheckpointError
from backaudit.core.measured import AttackMeasured, Measured, Share, Split
from backaudit.core.suspect import Suspect
from backaudit.core.verdict import Audit
from backaudit.purification.terms import PurifyTerms
from backaudit.purification.triggered import Triggered


def measured(suspect: Suspect, split: Split, terms: PurifyTerms) -> Measured:
    """Measure accuracy on the test part, let the detectors look, show it the trigger if known.

    Args:
        suspect: before or after; left as it was.
        split: the clean images.
        terms: seed, detectors and triggered images.

    Raises:
        CheckpointError: if an answer is not finite.
    """
    correct = _correct(suspect, split.test)
    again = rescanned(suspect, split, terms, terms.seed)
    return Measured(
        correct=correct,
        labels=tuple(split.test.labels.tolist()),
        runs=again.runs,
        judgement=again.judgement,
        attack=None if terms.triggered is None else attacked(suspect, terms.triggered),
    )


def rescanned(suspect: Suspect, split: Split, terms: PurifyTerms, seed: int) -> Audit:
    """Scan with the images that nothing was trained on: a network answers for its training images.

    Raises:
        SuspectModifiedError: if a detector changed the network.
    """
    return scan(suspect, split.held_out, terms.detectors, seed=seed)


def accuracy(suspect: Suspect, images: CleanSet) -> Share:
    """Images that are predicted as labelled.

    Raises:
        CheckpointError: if an answer is not finite.
    """
    correct = _correct(suspect, images)
    return Share(sum(correct), len(correct))


def attacked(suspect: Suspect, triggered: Triggered) -> AttackMeasured:
    """Show the trigger to a network."""
    predicted = suspect.logits(triggered.images).argmax(1)
    hits = int((predicted == triggered.target).sum())
    recovered = None
    if triggered.labels is not None:
        right = int((predicted == triggered.labels).sum())
        recovered = Share(right, len(predicted))
    return AttackMeasured(Share(hits, len(predicted)), recovered)


def _correct(suspect: Suspect, images: CleanSet) -> tuple[bool, ...]:
    logits = suspect.logits(images.images)
    if not bool(logits.isfinite().all()):
        raise CheckpointError("the network answers clean images with NaN or infinite scores.")
    return tuple((logits.argmax(1) == images.labels).tolist())
