"""Plain JSON of whatever was measured or read; imports no torch."""

import json
import math
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from backaudit.core.version import own_version

SCHEMA_VERSION = "1"
REPORTED = ("torch", "torchvision", "numpy", "pillow", "safetensors")


def dumped(record: Mapping[str, Any]) -> str:
    """Write a record as indented ASCII: no name in it can steer a terminal."""
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """Make nested data plain JSON: not-a-number and infinities, which JSON lacks, become null."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return finite(value.tolist()) if hasattr(value, "tolist") else str(value)


def versions() -> dict[str, str | None]:
    """Versions of what computed the result; null for what is not installed."""
    found: dict[str, str | None] = {
        "python": platform.python_version(),
        "backaudit": own_version(),
    }
    for name in REPORTED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
