"""The options of each command, as data; imports no torch, so that help answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from backaudit.cli.exits import FailOn, OnInconclusive

CHECKPOINT = "Checkpoint: .pt, .pth, .pt2, .safetensors, .onnx, or a hub folder."
MODEL, IMAGES, CHECKS = "The model", "The clean images", "The checks"
MODELS = "The models"
OUTPUT, EXIT, RUNNING = "Output", "Exit code", "Running"


def option(panel: str, *names: str, **more: Any) -> Any:
    """Describe an option that can also be set as ``BACKAUDIT_<LONG_NAME>``."""
    long_name = next(name for name in names if name.startswith("--"))
    variable = "BACKAUDIT_" + long_name.removeprefix("--").replace("-", "_").upper()
    return typer.Option(*names, envvar=variable, show_envvar=False, rich_help_panel=panel, **more)


Debug = Annotated[bool, option(RUNNING, "--debug", help="Log every step, and show tracebacks.")]
Outputs = Annotated[
    list[str] | None,
    option(
        OUTPUT,
        "--output",
        "-o",
        help="Report format: terminal or json; =FILE writes it to a file. Repeatable.",
        metavar="FORMAT[=FILE]",
        show_default="terminal",
    ),
]
Force = Annotated[bool, option(OUTPUT, "--force", help="Overwrite existing output files.")]
Quiet = Annotated[
    bool, option(OUTPUT, "--quiet", "-q", help="Print the report and errors, nothing else.")
]
Classes = Annotated[
    Path | None,
    option(IMAGES, "--classes", help="File with the model's class names in order, one per line."),
]
MaxImages = Annotated[
    int, option(IMAGES, "--max-images", min=1, help="Use at most this many clean images.")
]
Arch = Annotated[
    str | None,
    option(MODEL, "--arch", help="Architecture, if it is not recognised by itself."),
]
ModelDef = Annotated[
    str | None,
    option(
        MODEL,
        "--model-def",
        help="Build the network with FILE.py:FUNCTION. Executes that file: use only your own.",
        metavar="FILE.py:FUNCTION",
    ),
]
Size = Annotated[
    str | None,
    option(MODEL, "--size", help="Image size the model expects: 32 or 224x192 (HxW)."),
]
Mean = Annotated[
    str | None,
    option(MODEL, "--mean", help="Per-channel mean of pixels in 0..1: 0.485,0.456,0.406."),
]
Std = Annotated[
    str | None,
    option(MODEL, "--std", help="Per-channel standard deviation: 0.229,0.224,0.225."),
]
MaxGib = Annotated[
    float | None,
    option(
        MODEL,
        "--max-gib",
        help="Refuse files, and contents of files, larger than this. Contents may also claim only "
        "a few times the file's own size; giving this option lifts that.",
        metavar="GIB",
        show_default="8",
    ),
]
Settings = Annotated[
    list[str] | None,
    option(
        CHECKS,
        "--set",
        help="Change a setting, as ban.restarts=8. Repeatable.",
        metavar="CHECK.NAME=VALUE",
    ),
]
Device = Annotated[
    str,
    option(
        RUNNING,
        "--device",
        help="auto, cpu, cuda, cuda:N or mps. auto takes the first CUDA device, else the CPU.",
    ),
]
Threads = Annotated[int | None, option(RUNNING, "--threads", min=1, help="CPU threads to use.")]
Shard = Annotated[
    str | None,
    option(
        MODELS,
        "--shard",
        help="Take every N-th model, beginning with the I-th, so that N processes share a zoo.",
        metavar="I/N",
    ),
]
Only = Annotated[
    list[str] | None,
    option(
        MODELS,
        "--only",
        help="Only models of such a name, as '*badnets*'. Repeatable.",
        metavar="PATTERN",
    ),
]
Data = Annotated[
    list[str] | None,
    option(
        MODELS,
        "--data",
        help="Where a data set lies: an .npz file with train_x, train_y, test_x and test_y, a "
        "folder with train/CLASS/ and test/CLASS/ pictures, or cifar-10-batches-py. The data set "
        "signs is drawn and needs none. Repeatable.",
        metavar="NAME=PATH",
    ),
]
MaxSeconds = Annotated[
    float | None,
    option(
        RUNNING,
        "--max-seconds",
        min=0,
        help="Start nothing further after so long; the same command goes on later.",
    ),
]


@dataclass(frozen=True)
class ScanOptions:
    """Look for a backdoor in MODEL and print a verdict report.

    MODEL is a checkpoint: a state dict or a whole pickled network (.pt, .pth), TorchScript,
    torch.export (.pt2), .safetensors, .onnx, or a hub folder with config.json. Its kind is told
    from its bytes, never from its name; nothing in it is executed. A file that would run code when
    loaded ends the scan at once, with exit code 1, whatever --fail-on says.

    Examples:
      backaudit scan model.pt --clean ./samples

      backaudit scan model.pt --clean ./samples -o terminal -o json=audit.json

      backaudit scan model.pt --clean ./samples --arch resnet18 --mean 0.5 --std 0.5

    Exit codes: 0 no evidence (no proof of absence), 1 suspicious, backdoored or an unsafe file,
    2 wrong command line, 3 could not audit, 4 inconclusive, 130 interrupted. Every option can also
    be set in the environment: --fail-on as BACKAUDIT_FAIL_ON.
    """

    model: Annotated[Path, typer.Argument(help=CHECKPOINT, metavar="MODEL")]
    clean: Annotated[
        Path,
        option(
            IMAGES,
            "--clean",
            help="Images you trust: a folder of class folders, a folder with labels.csv, a folder "
            "without labels, or an .npz file. 50 are enough to start, 500 are better.",
        ),
    ]
    classes: Classes = None
    max_images: MaxImages = 2500
    arch: Arch = None
    model_def: ModelDef = None
    size: Size = None
    mean: Mean = None
    std: Std = None
    max_gib: MaxGib = None
    detectors: Annotated[
        str | None,
        option(
            CHECKS,
            "--detectors",
            help="Run only these, as ban,mm-bd (`backaudit rules` lists them). Leaving out a "
            "required one makes the audit inconclusive, unless another finds something.",
            show_default="all",
        ),
    ] = None
    settings: Settings = None
    seed: Annotated[int, option(CHECKS, "--seed", min=0, help="Same seed, same result.")] = 0
    output: Outputs = None
    save_calibration: Annotated[
        Path | None,
        option(OUTPUT, "--save-calibration", help="Write the ibd-psc calibration to this file."),
    ] = None
    force: Force = False
    quiet: Quiet = False
    fail_on: Annotated[
        FailOn,
        option(
            EXIT,
            "--fail-on",
            help="The mildest verdict that exits with 1. An unsafe file exits with 1 anyway.",
        ),
    ] = FailOn.SUSPICIOUS
    on_inconclusive: Annotated[
        OnInconclusive,
        option(EXIT, "--on-inconclusive", help="Exit with 4 (fail), or with 0 (warn, pass)."),
    ] = OnInconclusive.FAIL
    device: Device = "auto"
    threads: Threads = None
    debug: Debug = False


@dataclass(frozen=True)
class InspectOptions:
    """Tell what MODEL holds and what loading it would run, without running any of it.

    MODEL is a checkpoint: a state dict or a whole pickled network (.pt, .pth), TorchScript,
    torch.export (.pt2), .safetensors, .onnx, or a hub folder with config.json. No images are
    needed.

    Examples:
      backaudit inspect model.pt

      backaudit inspect model.pt -o terminal -o json=inspect.json

      backaudit inspect model.pt --skeleton net.py

    Exit codes: 0 nothing unsafe found in the file (the network is another question: scan), 1 an
    unsafe file, 2 wrong command line, 3 the file cannot be read, 130 interrupted.
    """

    model: Annotated[Path, typer.Argument(help=CHECKPOINT, metavar="MODEL")]
    max_gib: MaxGib = None
    skeleton: Annotated[
        Path | None,
        option(
            OUTPUT,
            "--skeleton",
            help="Write a network definition with the shapes of the layers, as a start for "
            "--model-def.",
            metavar="FILE.py",
        ),
    ] = None
    output: Outputs = None
    force: Force = False
    quiet: Quiet = False
    debug: Debug = False


@dataclass(frozen=True)
class DoctorOptions:
    """Show versions and devices, what is missing, and what to do about it."""

    debug: Debug = False


@dataclass(frozen=True)
class RulesOptions:
    """Explain a rule: what it checks, what it needs, what it is blind to.

    Without a RULE, list them all.

    Examples:
      backaudit rules

      backaudit rules ban

      backaudit rules BA001
    """

    rule: Annotated[
        str | None, typer.Argument(help="Id or name, as BA101 or ban.", metavar="RULE")
    ] = None
    debug: Debug = False
