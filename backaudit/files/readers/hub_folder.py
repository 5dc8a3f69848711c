"""Folders as timm and transformers write them: a configuration beside the weights."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from backaudit.core.errors import CheckpointError
from backaudit.core.printable import printable
from backaudit.files.contents import Contents
from backaudit.files.folders import Folder
from backaudit.files.limits import Limits
from backaudit.files.readers.sharded import Reader, read_shards

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
# Weights by their names, the preferred first.
INDEX = ".index.json"
WEIGHTS = (
    "model.safetensors",
    f"model.safetensors{INDEX}",
    "pytorch_model.bin",
    f"pytorch_model.bin{INDEX}",
)
OTHER_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".th", ".ckpt", ".pt2", ".onnx", ".tar")
FORMAT = "hub-folder"
ADAPTER = "adapter_config.json"
SHOWN = 4


def read_folder(folder: Folder, reader: Reader, chosen: str = "") -> tuple[str, Contents]:
    """Read the weights of a folder, and its configuration as plain values.

    Args:
        folder: that was given, or in which an index that was given lies.
        reader: of one file.
        chosen: the index that was given; "" to prefer one of ``WEIGHTS``.

    Raises:
        CheckpointError: if it holds no weights, or no configuration beside them.
    """
    present = [name for name in WEIGHTS if folder.holds(name)]
    configured = folder.holds(CONFIG)
    taken = chosen or next(iter(present), "")
    sharded = bool(chosen) or taken.endswith(INDEX)
    if not taken or not (configured or sharded):
        raise CheckpointError(_what_to_give(folder.path, folder.limits))
    if sharded:
        kind, contents = read_shards(folder, taken, reader)
    else:
        kind, contents = reader(folder.open(taken), folder.limits)
    configs = {
        name.removesuffix(".json"): folder.json(name)
        for name in (CONFIG, PREPROCESSOR)
        if folder.holds(name)
    }
    _require_these(folder, configs.get("config", {}), taken)
    left_out = [name for name in present if name != taken]
    notes = (f"{', '.join(left_out)} beside {taken} was not looked at.",) if left_out else ()
    return FORMAT if configured else kind, replace(
        contents,
        metadata={**contents.metadata, **configs},
        files=tuple(folder.opened.values()),
        notes=(*contents.notes, *notes),
    )


def _require_these(folder: Folder, config: Mapping[str, object], taken: str) -> None:
    """Refuse a folder of which the libraries would load more, or other weights, than are read here.

    Raises:
        CheckpointError: says which.
    """
    if folder.holds(ADAPTER):
        raise CheckpointError(
            f"holds an adapter ({ADAPTER}), which changes the network when it is loaded: merge it "
            "into the weights and save them"
        )
    pretrained = config.get("pretrained_cfg")
    named = (
        config.get("transformers_weights"),
        pretrained.get("hf_hub_filename") if isinstance(pretrained, Mapping) else None,
    )
    for other in named:
        if other and other != taken:
            raise CheckpointError(
                f"has a {CONFIG} that names other weights, {printable(other)!r}, than {taken}: "
                "give that file"
            )


def _what_to_give(path: Path, limits: Limits) -> str:
    try:
        entries = list(islice(path.iterdir(), limits.entries))
    except OSError as error:
        return f"cannot be read ({error.strerror}): check its permissions"
    names = sorted(entry.name for entry in entries if entry.name.endswith(OTHER_WEIGHTS))
    if not names:
        return "is a directory without weights: give the checkpoint file itself"
    shown = ", ".join(printable(name) for name in names[:SHOWN])
    if len(names) == 1:
        return f"is a directory without {CONFIG}: give the file in it, {shown}"
    return f"is a directory with several files of weights: give one of them ({shown})"
