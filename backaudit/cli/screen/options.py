"""The options of ``backaudit screen``, as data; imports no torch, so that help answers at once."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from backaudit.cli.options import (
    CHECKPOINT,
    EXIT,
    OUTPUT,
    RUNNING,
    Arch,
    Debug,
    Device,
    Force,
    MaxGib,
    Mean,
    ModelDef,
    Quiet,
    Size,
    Std,
    Threads,
    option,
)

CALIBRATION, SCREENERS = "The calibration", "The screeners"


class FailOnImages(StrEnum):
    """What about the images makes the exit code 1."""

    FLAGGED = "flagged"
    EXCESS = "excess"
    NEVER = "never"


@dataclass(frozen=True)
class ScreenOptions:
    """Score images with MODEL, and flag those that look as if they carry a trigger.

    INPUTS is a folder with all its subfolders, a quoted glob, an .npz file, pictures, or - for
    paths on standard input, one per line: each is answered with a line of JSON as soon as it was
    screened. What an image must score to be flagged is calibrated with clean images that you trust
    (--clean), or was earlier (--calibration).

    Examples:
      backaudit screen model.pt ./incoming --clean ./samples

      backaudit screen model.pt --clean ./samples --calibrate c.json

      backaudit screen model.pt ./incoming --calibration c.json -o html=page.html

      backaudit screen model.pt --calibration c.json --export guarded.onnx

      find incoming -name '*.png' | backaudit screen model.pt - --calibration c.json

    Exit codes: 0 screened, and nothing made it fail (no image is proven clean), 1 images were
    flagged (see --fail-on), 2 wrong command line, 3 unusable model, calibration or images, or
    some images could not be read, 130 interrupted.
    """

    model: Annotated[Path, typer.Argument(help=CHECKPOINT, metavar="MODEL")]
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folder, quoted glob, .npz, pictures, or - for paths on standard input. None: "
            "only calibrate or export.",
            metavar="INPUTS",
            show_default=False,
        ),
    ] = None
    clean: Annotated[
        Path | None,
        option(
            CALIBRATION,
            "--clean",
            help="Calibrate with these images that you trust, as for `scan`.",
            metavar="DIR",
        ),
    ] = None
    calibration: Annotated[
        Path | None,
        option(
            CALIBRATION,
            "--calibration",
            help="Use what --calibrate wrote; no clean images are needed then.",
            metavar="FILE",
        ),
    ] = None
    calibrate: Annotated[
        Path | None,
        option(
            CALIBRATION, "--calibrate", help="Write the calibration to this file.", metavar="FILE"
        ),
    ] = None
    export: Annotated[
        Path | None,
        option(
            CALIBRATION,
            "--export",
            help="Write the model with its ibd-psc firewall inside as .onnx or .pt2, which runs "
            "without backaudit: pixels in 0..1 -> logits, flagged, scores.",
            metavar="FILE",
        ),
    ] = None
    false_flag_rate: Annotated[
        float | None,
        option(
            CALIBRATION,
            "--false-flag-rate",
            help="Set thresholds so that at most this share of clean images is flagged. 0.01 takes "
            "200 clean images, since half of them are held out; 0.001 takes 2000. ibd-psc then "
            "scores by its margin, which does not saturate.",
            metavar="RATE",
            show_default="the method's own threshold",
        ),
    ] = None
    classes: Annotated[
        Path | None,
        option(
            CALIBRATION,
            "--classes",
            help="File with the model's class names in order, one per line.",
        ),
    ] = None
    max_images: Annotated[
        int,
        option(CALIBRATION, "--max-images", min=1, help="Use at most this many clean images."),
    ] = 2500
    arch: Arch = None
    model_def: ModelDef = None
    size: Size = None
    mean: Mean = None
    std: Std = None
    max_gib: MaxGib = None
    screeners: Annotated[
        str | None,
        option(
            SCREENERS,
            "--screeners",
            help="Run these, as ibd-psc,scale-up; an image is flagged if any of them flags it, and "
            "its score is that of the first.",
            show_default="ibd-psc, or what the calibration holds",
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        option(
            SCREENERS,
            "--set",
            help="Change a setting, as ibd-psc.error=0.5. Repeatable.",
            metavar="SCREENER.NAME=VALUE",
        ),
    ] = None
    output: Annotated[
        list[str] | None,
        option(
            OUTPUT,
            "--output",
            "-o",
            help="Report format: terminal, jsonl, json, csv or html; =FILE writes it to a file. "
            "Repeatable.",
            metavar="FORMAT[=FILE]",
            show_default="terminal; jsonl for -",
        ),
    ] = None
    move_flagged: Annotated[
        Path | None,
        option(
            OUTPUT,
            "--move-flagged",
            help="Copy flagged pictures into this folder; the originals stay where they are.",
            metavar="DIR",
        ),
    ] = None
    force: Force = False
    quiet: Quiet = False
    fail_on: Annotated[
        FailOnImages,
        # A variable of its own: --fail-on of other commands takes other words.
        typer.Option(
            "--fail-on",
            envvar="BACKAUDIT_SCREEN_FAIL_ON",
            show_envvar=False,
            rich_help_panel=EXIT,
            help="Exit with 1 if any image is flagged, or only if more are than clean images "
            "explain (p < 0.01), or never.",
        ),
    ] = FailOnImages.FLAGGED
    device: Device = "auto"
    threads: Threads = None
    batch_size: Annotated[
        int | None,
        option(
            RUNNING,
            "--batch-size",
            min=1,
            help="Images at a time.",
            show_default="128, fewer if they are large",
        ),
    ] = None
    debug: Debug = False
