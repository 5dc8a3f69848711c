"""The options of ``backaudit bench``, as data; imports no torch, so that help answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from backaudit.cli.options import CHECKS, IMAGES, OUTPUT, RUNNING, Debug, Quiet, option

MODELS = "The models"


@dataclass(frozen=True)
class BenchDetectOptions:
    """Measure how well the detectors tell the backdoored models of ZOO from the benign ones.

    ZOO is a folder made by `backaudit zoo train`. Each model is loaded and scanned as `backaudit
    scan` would, without its name, with clean images of the test part of its data set. Each result
    is a JSON file in the output folder, which also gets the tables (detect.json, detect.md) and the
    ROC curves (detect-roc.svg) of the last call. What is there already is not computed again, so
    that the same command goes on where an earlier one was stopped; results of other settings or
    images are kept beside them.

    Examples:
      backaudit bench detect ./zoo/smoke

      backaudit bench detect ./zoo/cpu --data cifar10=cifar10.npz --images 500 --seeds 0,1,2

      backaudit bench detect ./zoo/cpu --detectors ban --set ban.restarts=1 -o ./one-restart

    Exit codes: 0 the tables were printed, whatever they say, 2 wrong command line, 3 no result,
    130 interrupted.
    """

    zoo: Annotated[Path, typer.Argument(help="Folder of a zoo.", metavar="ZOO")]
    shard: Annotated[
        str | None,
        option(
            MODELS,
            "--shard",
            help="Scan every N-th model, beginning with the I-th, so that N processes share a zoo. "
            "The tables still hold every result that is there.",
            metavar="I/N",
        ),
    ] = None
    data: Annotated[
        list[str] | None,
        option(
            IMAGES,
            "--data",
            help="Where a data set lies, as for `zoo train`. The data set signs is drawn and needs "
            "none. Repeatable.",
            metavar="NAME=PATH",
        ),
    ] = None
    images: Annotated[
        int,
        option(IMAGES, "--images", min=1, help="Clean images of a scan, drawn by the seed."),
    ] = 200
    unlabelled: Annotated[
        bool, option(IMAGES, "--unlabelled", help="Give the clean images without labels.")
    ] = False
    imbalanced: Annotated[
        bool,
        option(
            IMAGES,
            "--imbalanced",
            help="Draw long-tailed clean images: each class has 0.6 times the images of another.",
        ),
    ] = False
    detectors: Annotated[
        str | None,
        option(
            CHECKS,
            "--detectors",
            help="Run only these, as ban,mm-bd. The verdict of a scan needs all of them.",
            show_default="all that judge a model",
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        option(
            CHECKS,
            "--set",
            help="Change a setting, as ban.restarts=8. Repeatable.",
            metavar="CHECK.NAME=VALUE",
        ),
    ] = None
    seeds: Annotated[
        str,
        option(CHECKS, "--seeds", help="Of the clean images and of the detectors, as 0,1,2."),
    ] = "0"
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the results.",
            show_default="ZOO/results",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    quiet: Quiet = False
    max_seconds: Annotated[
        float | None,
        option(
            RUNNING,
            "--max-seconds",
            min=0,
            help="Start no further check after so long; the same command goes on later.",
        ),
    ] = None
    device: Annotated[
        str,
        option(
            RUNNING,
            "--device",
            help="auto, cpu, cuda, cuda:N or mps. auto takes the first CUDA device, else the CPU.",
        ),
    ] = "auto"
    threads: Annotated[
        int | None, option(RUNNING, "--threads", min=1, help="CPU threads to use.")
    ] = None
    debug: Debug = False
