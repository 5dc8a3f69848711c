"""The options of ``backaudit bench``, as data; imports no torch, so that help answers at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from backaudit.cli.options import (
    CHECKS,
    IMAGES,
    MODELS,
    OUTPUT,
    Data,
    Debug,
    Device,
    MaxSeconds,
    Only,
    Quiet,
    Settings,
    Shard,
    Threads,
    option,
)


@dataclass(frozen=True)
class BenchOptions:
    """What every benchmark of a zoo can be told."""

    zoo: Annotated[Path, typer.Argument(help="Folder of a zoo.", metavar="ZOO")]
    only: Only = None
    shard: Shard = None
    data: Data = None
    images: Annotated[
        int,
        option(IMAGES, "--images", min=1, help="Clean images of an auditor, drawn by the seed."),
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
    seeds: Annotated[
        str,
        option(CHECKS, "--seeds", help="Of the clean images and of the methods, as 0,1,2."),
    ] = "0"
    settings: Settings = None
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
    max_seconds: MaxSeconds = None
    device: Device = "auto"
    threads: Threads = None
    debug: Debug = False


@dataclass(frozen=True)
class BenchDetectOptions(BenchOptions):
    """Measure how well the detectors tell the backdoored models of ZOO from the benign ones.

    ZOO is a folder made by `backaudit zoo train`. Each model is loaded and scanned as `backaudit
    scan` would, without its name, with clean images of the test part of its data set. Each result
    is a JSON file in the output folder, which also gets the tables (detect.json, detect.md) and the
    ROC curves (detect-roc.svg) of the last call; they hold every result that is there. What is
    there already is not computed again, so that the same command goes on where an earlier one was
    stopped; results of other settings, images, thresholds or versions are kept beside them.

    Examples:
      backaudit bench detect ./zoo/smoke

      backaudit bench detect ./zoo/cpu --data cifar10=cifar10.npz --images 500 --seeds 0,1,2

      backaudit bench detect ./zoo/cpu --detectors ban --set ban.restarts=1 -o ./one-restart

    Exit codes: 0 the tables were printed, whatever they say, 2 wrong command line, 3 no result,
    130 interrupted.
    """

    detectors: Annotated[
        str | None,
        option(
            CHECKS,
            "--detectors",
            help="Run only these, as ban,mm-bd. The verdict of a scan needs all of them.",
            show_default="all that judge a model",
        ),
    ] = None
    fold_batch_norm: Annotated[
        bool,
        option(
            MODELS,
            "--fold-batch-norm",
            help="Fold batch norm into the convolutions first, as exporters to ONNX do.",
        ),
    ] = False


@dataclass(frozen=True)
class BenchScreenOptions(BenchOptions):
    """Measure how well the screeners tell triggered images from clean ones on the models of ZOO.

    ZOO is a folder made by `backaudit zoo train`. Each model is loaded, and each screener
    calibrated, as by `backaudit screen`, without the model's name, with clean images of the test
    part of its data set. Then it is shown other clean images of that part and, if the model is
    backdoored, as many with the trigger. Each result is a JSON file in the output folder and holds
    the score of each image; the tables (screen.json, screen.md), the spread of the scores
    (screen-violins-METHOD.svg) and the ROC curves (screen-roc.svg) of the last call lie there, too.
    What is there already is not computed again; results of other settings, images or versions are
    kept beside.

    Examples:
      backaudit bench screen ./zoo/smoke

      backaudit bench screen ./zoo/cpu --data cifar10=cifar10.npz --false-flag-rate 0.05 -o ./rate

      backaudit bench screen ./zoo/cpu --screeners ibd-psc --set ibd-psc.scale=1.2 -o ./scale-1.2

    Exit codes: 0 the tables were printed, whatever they say, 2 wrong command line, 3 no result,
    130 interrupted.
    """

    screeners: Annotated[
        str | None,
        option(
            CHECKS,
            "--screeners",
            help="Run only these, as ibd-psc,strip. The first one orders the rows.",
            show_default="all",
        ),
    ] = None
    test_images: Annotated[
        int,
        option(
            IMAGES,
            "--test-images",
            min=1,
            help="Clean images that are screened, and as many with the trigger.",
        ),
    ] = 500
    false_flag_rate: Annotated[
        float | None,
        option(
            CHECKS,
            "--false-flag-rate",
            help="Set thresholds so that at most this share of clean images is flagged.",
            metavar="RATE",
            show_default="each method's own threshold",
        ),
    ] = None
    only_successful: Annotated[
        bool,
        option(
            CHECKS,
            "--only-successful",
            help="Count in the table only clean images that are predicted as labelled, and "
            "triggered ones that go where the attacker wants. The results serve both.",
        ),
    ] = False


@dataclass(frozen=True)
class BenchPurifyOptions(BenchOptions):
    """Measure what the purifiers leave of the backdoors in the models of ZOO, and what they cost.

    ZOO is a folder made by `backaudit zoo train`. Each model is loaded and repaired as by
    `backaudit purify`, without its name, with clean images of the test part of its data set. Then
    it is measured before and after on other images of that part, clean ones and, if the model is
    backdoored, those with the trigger. Each result is a JSON file in the output folder; the tables
    (purify.json, purify.md) of the last call lie there, too: accuracy (ACC), attack success (ASR)
    and defence effectiveness (DER) by attack and method; lost accuracy, benign models and seconds.
    What is there already is not computed again; results of other settings, images or versions are
    kept beside.

    Examples:
      backaudit bench purify ./zoo/smoke

      backaudit bench purify ./zoo/cpu --data cifar10=cifar10.npz --images 2500 --seeds 0,1,2

      backaudit bench purify ./zoo/cpu --data cifar10=cifar10.npz --methods noise-ft,tsbd,auto

      backaudit bench purify ./zoo/smoke --methods noise-ft --set noise-ft.epochs=5 -o ./short

    Exit codes: 0 the tables were printed, whatever they say, 2 wrong command line, 3 no result,
    130 interrupted.
    """

    images: Annotated[
        int,
        option(
            IMAGES,
            "--images",
            min=1,
            help="Clean images of an auditor, drawn by the seed; 75 % of them repair, for "
            "`purify` keeps the others to measure on.",
        ),
    ] = 500
    methods: Annotated[
        str | None,
        option(
            CHECKS,
            "--methods",
            help="Run only these, as noise-ft,tsbd+uap-ft. auto, which scans and chooses, runs "
            "only if it is named; --set reaches the purifiers that it tries, too.",
            show_default="every purifier",
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        option(
            CHECKS,
            "--set",
            help="Change a setting, as noise-ft.epochs=5. Repeatable.",
            metavar="METHOD.NAME=VALUE",
        ),
    ] = None
    test_images: Annotated[
        int | None,
        option(
            IMAGES,
            "--test-images",
            min=1,
            help="Clean images to measure on, and as many with the trigger.",
            show_default="all that were not handed over",
        ),
    ] = None
