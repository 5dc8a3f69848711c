"""What every renderer is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from backaudit.core.verdict import Audit


@dataclass(frozen=True)
class Report:
    """An audit, and what only the caller knows about it.

    Args:
        audit: what happened.
        exit_code: what the process will exit with.
        blind_to: detector name -> what it cannot see.
    """

    audit: Audit
    exit_code: int
    blind_to: Mapping[str, str] = field(default_factory=dict)


Renderer = Callable[[Report], str]
