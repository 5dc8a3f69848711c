"""The clean images in two halves: one to search on, one to measure on."""

from backaudit.core.clean_set import CleanSet
from backaudit.core.errors import NotApplicableError

MIN_IMAGES = 20
MIN_HELD_OUT = 5


def halves(clean: CleanSet) -> tuple[CleanSet, CleanSet]:
    """Split the clean images into a half to fit on and a half that is held out.

    Raises:
        NotApplicableError: if there are too few images for shares to mean anything.
    """
    fit, held_out = clean.split()
    if len(clean) < MIN_IMAGES or len(held_out) < MIN_HELD_OUT:
        raise NotApplicableError(
            f"{len(clean)} clean images, of which {len(held_out)} can be held out; at least "
            f"{MIN_IMAGES} and {MIN_HELD_OUT} are needed, two or more of a class."
        )
    return fit, held_out
