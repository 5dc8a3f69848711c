"""Small fakes: surveys of files that hold this and that."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from backaudit.core.evidence import FileFinding
from backaudit.files.contents import Contents, GlobalUse, Level, Survey
from backaudit.files.pickles.values import Inert, Reference
from backaudit.files.records import Storage, TensorRecord, contiguous_stride
from backaudit.files.rules import DECEPTIVE_ARCHIVE, UNKNOWN_CODE, UNSAFE_FILE
from backaudit.loading.inspection.figures import figures, layer_kinds
from backaudit.loading.inspection.inspection import Inspection
from backaudit.loading.inspection.outlook import Architecture, Certainty, Outlook

HARMLESS = GlobalUse(
    module="torch._utils",
    name="_rebuild_tensor_v2",
    opcode="GLOBAL",
    offset=86,
    member="archive/data.pkl",
    level=Level.HARMLESS,
    why="rebuilds a tensor",
    calls=(("REDUCE", 240),),
)
UNKNOWN = replace(
    HARMLESS,
    module="torchvision.models.resnet",
    name="ResNet",
    offset=2,
    level=Level.UNKNOWN,
    why="a class that is not known",
    calls=(("NEWOBJ", 41), ("BUILD", 900)),
)
DANGEROUS = replace(
    HARMLESS,
    module="posix",
    name="system",
    offset=14,
    level=Level.DANGEROUS,
    why="runs a shell command",
    calls=(("REDUCE", 41),),
)
RUNS_CODE = FileFinding(
    UNSAFE_FILE,
    "Loading it would call posix.system (runs a shell command): named by GLOBAL at offset 14 of "
    "'archive/data.pkl', called by REDUCE at offset 41.",
    unsafe=True,
)
NAMES_CODE = FileFinding(
    UNKNOWN_CODE,
    "Loading it would call torchvision.models.resnet.ResNet (a class that is not known): named by "
    "GLOBAL at offset 2 of 'archive/data.pkl', called by NEWOBJ at offset 41.",
    unsafe=False,
)
DECEIVES = FileFinding(DECEPTIVE_ARCHIVE, "Two entries are named 'archive/data.pkl'.", unsafe=True)


def record(*shape: int, dtype: str = "float32") -> TensorRecord:
    storage = Storage(None, 0, 0)
    return TensorRecord(dtype, shape, contiguous_stride(shape), 0, storage)


def weights() -> dict[str, TensorRecord]:
    return {
        "conv.weight": record(8, 3, 3, 3),
        "bn.weight": record(8),
        "bn.bias": record(8),
        "bn.running_mean": record(8),
        "bn.running_var": record(8),
        "bn.num_batches_tracked": record(dtype="int64"),
        "fc.weight": record(10, 8),
        "fc.bias": record(10),
    }


def survey(saved: object = None, *uses: GlobalUse, **more: Any) -> Survey:
    metadata = {"epoch": 200, "acc": 0.953}
    contents = Contents(**({"saved": saved, "uses": uses, "metadata": metadata} | more))
    source = SimpleNamespace(sha256="3f2a" * 16)
    return Survey(Path("models/candidate.pt"), "torch-zip", 46_830_571, source, contents)


def honest() -> Survey:
    return survey({"state_dict": weights(), "epoch": 200}, HARMLESS, HARMLESS)


def unknown() -> Survey:
    return survey(weights(), UNKNOWN, HARMLESS, findings=(NAMES_CODE,))


def unsafe() -> Survey:
    return survey(weights(), DANGEROUS, HARMLESS, findings=(RUNS_CODE,))


def deceptive() -> Survey:
    return survey(weights(), HARMLESS, findings=(DECEIVES,))


def unreadable() -> Survey:
    return survey(problem="is damaged or truncated: copy or download it again")


def module(of: Reference, state: Mapping[str, object]) -> Inert:
    return Inert(of, state=state)


def inspection(of: Survey, **outlook: Any) -> Inspection:
    known: dict[str, Any] = {
        "wrapper": ("state_dict",),
        "prefix": "module.",
        "weights": 8,
        "architecture": Architecture(
            Certainty.EXACT, "resnet18-cifar(width=64)", ("blurnet18",), layers=("BatchNorm2d",)
        ),
        "num_classes": 10,
        "image_size": (32, 32),
        "class_names": ("plane", "car"),
        "mean": (0.4914, 0.4822, 0.4465),
        "std": (0.247, 0.2435, 0.2616),
        "metadata": of.contents.metadata,
        "notes": ("Strides were taken as usual.",),
    }
    found = None if of.contents.problem else Outlook(**(known | outlook))
    layers = layer_kinds(found.architecture.layers) if found else {}
    return Inspection(of, figures(of.contents.saved), found, layers, {})
