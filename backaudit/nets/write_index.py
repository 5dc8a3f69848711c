"""Write ``library_index.json`` anew: ``python -m backaudit.nets.write_index``."""

import json
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from backaudit.nets.library_index import INDEX, fingerprint
from backaudit.nets.timm_models import timm
from backaudit.nets.torchvision_models import torchvision_models, torchvision_names
from backaudit.nets.unallocated import Unallocated

logger = logging.getLogger(__name__)


def write_index(path: Path) -> None:
    """Build every network without storage and write the fingerprints of all.

    Args:
        path: file to write.
    """
    index = {
        "torchvision": fingerprints(torchvision_names(), torchvision_models().get_model),
        "timm": fingerprints(timm().list_models(), timm().create_model),
        "made with": {"timm": timm().__version__},
    }
    path.write_text(json.dumps(index, separators=(",", ":")).replace("],", "],\n") + "\n")


def fingerprints(names: Iterable[str], create: Callable[..., Any]) -> dict[str, list[str]]:
    """Fingerprint -> names, of those networks that can be built without storage."""
    networks: dict[str, list[str]] = {}
    for name in names:
        try:
            with Unallocated():
                network = create(name)
        except Exception as error:  # noqa: BLE001 - a network that cannot be built is left out
            logger.warning("%s is left out: %s", name, error)
            continue
        shapes = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
        networks.setdefault(fingerprint(shapes), []).append(name)
    return dict(sorted(networks.items()))


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr)
    write_index(Path(__file__).with_name(INDEX))
