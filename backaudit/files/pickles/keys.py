"""Keys of dicts and elements of sets: hashing them must not be made to hurt."""

from backaudit.files.pickles.values import Computed, Inert, Reference

COSTLY_KEY_ITEMS = 64
FEW_KEYS = 64
CHEAP_KEYS = frozenset({str, bytes, float, bool, type(None), Reference, Inert, Computed})
# From here on whole numbers share their hash with smaller ones.
LARGE_KEY = 2**61 - 1


def is_cheap(key: object) -> bool:
    """Whether hashing and comparing a key takes one step, and few others share its hash."""
    kind = type(key)
    if kind is int:
        return -LARGE_KEY < key < LARGE_KEY  # type: ignore[operator]
    return kind in CHEAP_KEYS


def is_small(key: object) -> bool:
    """Whether a key has few parts; each part is looked at once."""
    parts = [key]
    for part in parts:
        if isinstance(part, tuple | frozenset):
            parts.extend(part)
        if len(parts) > COSTLY_KEY_ITEMS:
            return False
    return True


def are_cheap(keys: list[object]) -> bool:
    """Whether making a dict or set of keys takes about as many steps as there are keys."""
    few = len(keys) <= FEW_KEYS
    return all(is_cheap(key) or (few and is_small(key)) for key in keys)
