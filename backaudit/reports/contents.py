"""What a file holds, in plain words; imports no torch."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from backaudit.core.printable import counted, printable
from backaudit.files.contents import GlobalUse, Survey
from backaudit.files.pickles.modules import is_module
from backaudit.files.pickles.values import Inert
from backaudit.files.records import TensorRecord
from backaudit.loading.inspection.figures import TensorFigures
from backaudit.loading.inspection.inspection import Inspection
from backaudit.loading.inspection.outlook import Architecture, Certainty

FORMATS = {
    "torch-zip": "torch zip archive",
    "torch-legacy": "legacy torch file (stacked pickles)",
    "safetensors": "safetensors",
    "torchscript": "TorchScript archive",
    "torch-export": "torch.export archive",
    "onnx": "ONNX model",
    "hub-folder": "hub folder",
}
SAVED_BY_TORCH = ("torch-zip", "torch-legacy")
NAMED = 6
OPERATORS = 8
TYPES = 4
CLASSES = 10
UNITS = ("KiB", "MiB", "GiB", "TiB")


def form(survey: Survey) -> str:
    """The format and what was saved in it: ``torch zip archive, state dict of 62 tensors``."""
    known = FORMATS.get(survey.format, "format not known")
    held = _held(survey.contents.saved)
    if survey.format not in SAVED_BY_TORCH:
        held = held.removeprefix("state dict of ")
    return f"{known}, {held}" if held else known


def _held(saved: object) -> str:
    if is_module(saved):
        return f"whole pickled module of class {_class_of(saved)}"
    if isinstance(saved, Mapping):
        return _dictionary(saved)
    if isinstance(saved, list | tuple):
        return f"list of {counted(len(saved), 'item')}"
    if isinstance(saved, Inert):
        return f"object of class {_class_of(saved)}"
    return "" if saved is None else f"value of type {type(saved).__name__}"


def _dictionary(saved: Mapping[object, object]) -> str:
    tensors = sum(isinstance(value, TensorRecord) for value in saved.values())
    if 2 * tensors > len(saved):
        return f"state dict of {counted(tensors, 'tensor')}"
    names = [_key(key) for key in islice(saved, NAMED)]
    more = f" and {len(saved) - NAMED} more" if len(saved) > NAMED else ""
    told = f"dictionary of {', '.join(names)}{more}" if names else "empty dictionary"
    modules = [key for key, value in saved.items() if is_module(value)]
    if modules:
        kind = _class_of(saved[modules[0]])
        told += f"; whole pickled module of class {kind} under {printable(modules[0], 24)!r}"
    return told


def _key(key: object) -> str:
    # The text of a tuple can be far longer than the file that it is in.
    plain = isinstance(key, str | bytes | int | float)
    return printable(key, 24) if plain else f"a {type(key).__name__}"


def _class_of(value: object) -> str:
    return printable(value.of, 120) if isinstance(value, Inert) else type(value).__name__


def size(nbytes: int) -> str:
    """Bytes in a unit that suits: ``44.7 MiB``."""
    power = min((max(nbytes, 1).bit_length() - 1) // 10, len(UNITS))
    return f"{nbytes / 1024**power:.1f} {UNITS[power - 1]}" if power else counted(nbytes, "byte")


def amount(figures: TensorFigures) -> str:
    """Number of tensors, of parameters, of bytes, and their types, the most used first."""
    types = [printable(name, 16) for name in islice(figures.dtypes, TYPES)]
    more = ", ..." if len(figures.dtypes) > TYPES else ""
    return (
        f"{counted(figures.count, 'tensor')}, {counted(figures.parameters, 'parameter')}, "
        f"{size(figures.nbytes)} of {', '.join(types)}{more}"
    )


def network(architecture: Architecture) -> str:
    """Which network it is and how sure that is."""
    name = printable(architecture.name, 100)
    match architecture.certainty:
        case Certainty.EXACT:
            return f"{name}: an exact fit of all names and shapes"
        case Certainty.CHAIN:
            return f"{name}, read from the shapes; no network of this kind is known here"
        case Certainty.NEAREST:
            return f"not known; nearest is {name}: {printable(architecture.differs, 300)}"
        case Certainty.GRAPH:
            graph = "as the graph in the file says"
            return f"{graph}; its tensors fit {name} in all names and shapes" if name else graph
        case Certainty.UNKNOWN:
            return printable(architecture.differs, 300) or "not known"


def normalisation(inspection: Inspection) -> str:
    """How many normalisation layers there are of each kind."""
    told = [counted(count, f"{kind} layer") for kind, count in inspection.normalisation.items()]
    folded = " (exporters often fold them into the convolutions)" if inspection.operators else ""
    return ", ".join(told) or f"no layer found{folded}"


def graph(operators: Mapping[str, int]) -> str:
    """Size of a graph and its most frequent operators."""
    parts = [times(printable(name, 40), count) for name, count in operators.items()]
    more = f" and {counted(len(parts) - OPERATORS, 'other')}" if len(parts) > OPERATORS else ""
    return f"{counted(sum(operators.values()), 'node')}: {', '.join(parts[:OPERATORS])}{more}"


def times(name: str, count: int) -> str:
    """A name, and how often it occurs if more than once."""
    return f"{name} \N{MULTIPLICATION SIGN}{count:,}" if count > 1 else name


def where_weights_lie(inspection: Inspection) -> str:
    """Which of the tensors are the network's, if not all; "" if there is nothing to say."""
    found = inspection.outlook
    if found is None or not found.weights:
        return ""
    parts = []
    if found.weights != inspection.tensors.count:
        parts.append(f"{found.weights:,} of them are the network's")
    if found.wrapper:
        parts.append(f"under {printable('.'.join(found.wrapper), 60)!r}")
    if found.prefix:
        parts.append(f"each name without {printable(found.prefix, 40)!r}")
    return ", ".join(parts)


def images(inspection: Inspection) -> str:
    """What the file says about the images it wants; "" if nothing."""
    found = inspection.outlook
    if found is None:
        return ""
    parts = []
    if found.image_size:
        parts.append("{}x{} pixels".format(*found.image_size))
    elif found.usual_size:
        parts.append(f"{found.usual_size}x{found.usual_size} pixels are usual for this network")
    if found.mean and found.std:
        parts.append(f"mean {_numbers(found.mean)}, deviation {_numbers(found.std)}")
    return "; ".join(parts)


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def classes(inspection: Inspection) -> str:
    """Number and names of the outputs; "" if not known."""
    found = inspection.outlook
    if found is None or found.num_classes is None:
        return ""
    # Of the network that all tensors fit, also where a graph says what it does.
    sure = found.architecture.name and found.architecture.certainty is not Certainty.NEAREST
    count = f"{found.num_classes:,}" if sure else f"probably {found.num_classes:,}"
    names = [printable(name, 24) for name in found.class_names[:CLASSES]]
    more = ", ..." if len(found.class_names) > CLASSES else ""
    return f"{count}: {', '.join(names)}{more}" if names else count


def place(use: GlobalUse) -> str:
    """Which opcode names a global, and which would call it: ``GLOBAL at 2, REDUCE at 41``."""
    first = f"{use.opcode} at {use.offset}" + (f" in {printable(use.member)}" if use.member else "")
    if not use.calls:
        return f"{first}, never called"
    opcode, offset = use.calls[0]
    more = f" and {counted(len(use.calls) - 1, 'time')} more" if len(use.calls) > 1 else ""
    return f"{first}, called by {opcode} at {offset}{more}"


def facts(metadata: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Names and values of metadata; of a dictionary among them, each entry."""
    for name, value in metadata.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", item) for key, item in value.items())
        else:
            yield name, value


def grouped(uses: Sequence[GlobalUse]) -> dict[str, list[GlobalUse]]:
    """Uses of one global together, in the order in which each first occurs."""
    groups: dict[str, list[GlobalUse]] = {}
    for use in uses:
        groups.setdefault(f"{use.module}.{use.name}", []).append(use)
    return groups
