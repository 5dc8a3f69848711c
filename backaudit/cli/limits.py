"""How much a file may ask for, as an option says it."""

import math

from backaudit.core.errors import SettingError
from backaudit.files.limits import Limits
from backaudit.files.opened import GIB


def limits_of(max_gib: float | None) -> Limits:
    """Limits on reading; one that is stated lifts the limit that follows from the file's size.

    Raises:
        SettingError: if it is no positive number.
    """
    if max_gib is None:
        return Limits()
    if not (max_gib > 0 and math.isfinite(max_gib)):
        raise SettingError(f"--max-gib {max_gib:g}: give a positive number of GiB, as 16")
    return Limits(max_bytes=int(max_gib * GIB), growth=None)
