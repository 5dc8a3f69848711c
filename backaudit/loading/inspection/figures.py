"""Figures of what a file holds, told without torch."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from backaudit.files.pickles.modules import is_module, module_tree
from backaudit.files.walking import every_tensor, walk

# Of a class or an operator, in lower case and without underscores -> kind.
NORMALISATION = {
    "batchnorm": "batch norm",
    "instancenorm": "instance norm",
    "layernorm": "layer norm",
    "groupnorm": "group norm",
    "rmsnorm": "RMS norm",
}
STATISTICS = "running_mean"
BUFFERS = (STATISTICS, "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class TensorFigures:
    """How many tensors there are, and of what.

    Args:
        count: of tensors.
        parameters: numbers in them, without the statistics of normalisation layers.
        nbytes: that they take.
        dtypes: type -> numbers of that type.
    """

    count: int = 0
    parameters: int = 0
    nbytes: int = 0
    dtypes: Mapping[str, int] = field(default_factory=dict)


def figures(saved: object) -> TensorFigures:
    """Count every tensor in what was saved; one that occurs twice counts once."""
    named = {id(record): (name, record) for name, record in every_tensor(saved)}
    count = parameters = nbytes = 0
    dtypes: Counter[str] = Counter()
    for name, record in named.values():
        count += 1
        nbytes += record.nbytes
        dtypes[record.dtype] += record.numel()
        parameters += 0 if name.endswith(BUFFERS) else record.numel()
    return TensorFigures(count, parameters, nbytes, dict(dtypes.most_common()))


def layer_kinds(named: Iterable[str] | Mapping[str, int]) -> dict[str, int]:
    """Count normalisation layers by kind.

    Args:
        named: class names of layers, or operators and how often each occurs.
    """
    kinds: Counter[str] = Counter()
    for name, count in Counter(named).items():
        plain = name.replace("_", "").lower()
        kind = next((kind for part, kind in NORMALISATION.items() if part in plain), None)
        if kind:
            kinds[kind] += count
    return dict(kinds.most_common())


def stored_layers(saved: object) -> dict[str, int]:
    """Normalisation layers as a pickled module, or the names of the tensors, tell them."""
    module = next((value for _, value in walk(saved) if is_module(value)), None)
    if module is not None:
        return layer_kinds(part.kind.name for part in module_tree(module))
    statistics = sum(name.endswith(STATISTICS) for name, _ in every_tensor(saved))
    return {"batch norm": statistics} if statistics else {}
