"""What a folder's configuration and a checkpoint's metadata say about the architecture."""

from collections.abc import Iterator, Mapping

from backaudit.core.printable import printable
from backaudit.nets.architectures import Candidate
from backaudit.nets.architectures.candidate import Shapes
from backaudit.nets.timm_models import timm, timm_candidate, timm_installed
from backaudit.nets.torchvision_models import torchvision_candidate, torchvision_names
from backaudit.nets.transformers_models import SUPPORTED

NAMES = ("architecture", "arch", "model_name", "model", "model_type", "backbone", "net")


def config_in(metadata: Mapping[str, object]) -> Mapping[str, object]:
    """The ``config.json`` that lay beside the weights; empty without one."""
    config = metadata.get("config")
    return config if isinstance(config, Mapping) else {}


def stated_names(metadata: Mapping[str, object]) -> Iterator[str]:
    """Names of architectures that a configuration or the metadata give, in lower case."""
    for place in (config_in(metadata), metadata):
        for key in NAMES:
            value = place.get(key)
            if isinstance(value, str):
                # timm appends what the weights were trained on.
                yield value.strip().lower().partition(".")[0]


def stated_candidates(metadata: Mapping[str, object], shapes: Shapes) -> Iterator[Candidate]:
    """Propose the libraries' networks that the file names; the libraries say what these are."""
    config = config_in(metadata)
    arguments = config.get("model_args")
    given = dict(arguments) if isinstance(arguments, Mapping) else {}
    if isinstance(pool := config.get("global_pool"), str):
        given.setdefault("global_pool", pool)
    for name in dict.fromkeys(stated_names(metadata)):
        if name in torchvision_names() and "architecture" not in config:
            yield torchvision_candidate(name, shapes)
        if timm_installed() and timm().is_model(name):
            yield timm_candidate(name, shapes, given)


def unsupported_type(metadata: Mapping[str, object]) -> str:
    """Say that a folder is of a kind that is not supported; empty if it is none of those."""
    config = config_in(metadata)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind in SUPPORTED or "architectures" not in config:
        return ""
    return (
        f"Its config.json says it is a {printable(kind)!r} of transformers; of these, only "
        f"{', '.join(SUPPORTED)} can be read."
    )
