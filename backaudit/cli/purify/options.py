"""The options of ``backaudit purify``, as data; imports no torch, so that help answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from backaudit.cli.options import (
    CHECKPOINT,
    IMAGES,
    OUTPUT,
    RUNNING,
    Arch,
    Classes,
    Debug,
    Device,
    MaxGib,
    MaxImages,
    Mean,
    ModelDef,
    Quiet,
    Size,
    Std,
    Threads,
    option,
)

METHOD, TRIGGER = "The method", "The trigger, if known"


@dataclass(frozen=True)
class PurifyOptions:
    """Write a repaired checkpoint that can replace MODEL, and measure what it lost and kept.

    A copy of the network is repaired with clean images, written in the format of MODEL with the
    same keys, types and wrapper, loaded again, and measured on images that it was not repaired
    with. MODEL itself is never changed.

    Examples:
      backaudit purify model.pt --clean ./samples --output repaired.pt

      backaudit purify model.pt --clean ./samples --output repaired.pt --method tsbd+uap-ft

      backaudit purify model.pt --clean ./samples --output repaired.pt --resume

      backaudit purify model.pt --clean ./samples --output repaired.pt --triggered ./evil --target 5

    Exit codes: 0 written, and scanning it again finds no evidence (no proof of absence), or auto
    found nothing to repair, 1 written, but something is still found, or the accuracy fell too far
    and nothing was written, 2 wrong command line, 3 could not purify, 4 written, but a check could
    not be made again, 130 interrupted: --resume goes on.
    """

    model: Annotated[Path, typer.Argument(help=CHECKPOINT, metavar="MODEL")]
    clean: Annotated[
        Path,
        option(
            IMAGES,
            "--clean",
            help="Images you trust, as for `scan`. 60 % of them train, 15 % choose, 25 % measure. "
            "500 are good, 40 are the fewest.",
        ),
    ]
    destination: Annotated[
        Path,
        # No variable: BACKAUDIT_OUTPUT means report formats elsewhere.
        typer.Option(
            "--output",
            "-o",
            help="The repaired checkpoint; its record is FILE.purify.json beside it.",
            metavar="FILE",
            rich_help_panel=OUTPUT,
        ),
    ]
    classes: Classes = None
    max_images: MaxImages = 2500
    method: Annotated[
        str,
        option(
            METHOD,
            "--method",
            help="auto, or a purifier, as noise-ft (`backaudit rules` lists them), or several, as "
            "noise-ft,anp, the best of which is taken; tsbd+uap-ft is tsbd and then uap-ft on what "
            "it left. auto scans first and tries what suits.",
        ),
    ] = "auto"
    audit: Annotated[
        Path | None,
        option(
            METHOD,
            "--audit",
            help="Take what `scan -o json=FILE` found in this model, so that auto need not scan.",
            metavar="FILE",
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        option(
            METHOD,
            "--set",
            help="Change a setting, as noise-ft.epochs=10. Repeatable.",
            metavar="METHOD.NAME=VALUE",
        ),
    ] = None
    seed: Annotated[int, option(METHOD, "--seed", min=0, help="Same seed, same result.")] = 0
    max_accuracy_drop: Annotated[
        float,
        option(
            METHOD,
            "--max-accuracy-drop",
            min=0,
            max=100,
            help="A result that loses more percentage points of clean accuracy is not written, "
            "except with --force.",
            metavar="POINTS",
        ),
    ] = 3.0
    triggered: Annotated[
        Path | None,
        option(
            TRIGGER,
            "--triggered",
            help="Images that carry the trigger, sorted by their true classes or not, to measure "
            "how often it works before and after. No method sees them.",
            metavar="DIR",
        ),
    ] = None
    target: Annotated[
        str | None,
        option(
            TRIGGER,
            "--target",
            help="Class that the trigger leads to, by name or number.",
            metavar="CLASS",
        ),
    ] = None
    arch: Arch = None
    model_def: ModelDef = None
    size: Size = None
    mean: Mean = None
    std: Std = None
    max_gib: MaxGib = None
    report: Annotated[
        list[str] | None,
        option(
            OUTPUT,
            "--report",
            "-r",
            help="Report format: terminal or json; =FILE writes it to a file. Repeatable.",
            metavar="FORMAT[=FILE]",
            show_default="terminal",
        ),
    ] = None
    force: Annotated[
        bool,
        option(
            OUTPUT,
            "--force",
            help="Overwrite existing files, write a result that lost too much accuracy, and purify "
            "although auto finds nothing; the report warns of each that happened. For one alone: "
            "another --output, --max-accuracy-drop, --method.",
        ),
    ] = False
    quiet: Quiet = False
    resume: Annotated[
        bool, option(RUNNING, "--resume", help="Go on with what an interrupted run left.")
    ] = False
    device: Device = "auto"
    threads: Threads = None
    debug: Debug = False
