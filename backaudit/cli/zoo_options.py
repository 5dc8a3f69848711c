"""The options of ``backaudit zoo``, as data; imports no torch, so that help answers at once."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from backaudit.cli.options import (
    MODELS,
    OUTPUT,
    Data,
    Debug,
    Device,
    MaxSeconds,
    Only,
    Quiet,
    Shard,
    Threads,
    option,
)


class Preset(StrEnum):
    """Lists of recipes that the program knows."""

    SMOKE = "smoke"
    CPU = "cpu"
    BARE = "bare"
    WIDE = "wide"
    PAPER = "paper"
    CALIBRATION = "calibration"


OfPreset = Annotated[
    Preset | None,
    option(
        MODELS,
        "--preset",
        help="A known list: smoke (a minute on two cores, nothing to download), cpu (narrow "
        "networks, hours on two cores), bare (networks without batch norm, an hour on two cores), "
        "wide (a few of full width, an hour on two cores), paper (full width, for one modern GPU), "
        "calibration (what thresholds are chosen on).",
    ),
]


@dataclass(frozen=True)
class ZooTrainOptions:
    """Train models whose truth is known, benign and backdoored, into a folder.

    RECIPES is a JSON list of recipes, or the manifest.json of an earlier zoo, which holds its
    recipes in full. What the folder holds already is kept, so that the same command goes on where
    an earlier one was stopped. The folder gets a checkpoint and a card for each model, and a
    manifest.json.

    Examples:
      backaudit zoo train --preset smoke

      backaudit zoo train --preset cpu --data cifar10=./cifar10.npz --data gtsrb=./gtsrb

      backaudit zoo train recipes.json --output ./zoo --device cuda --shard 1/4

    Exit codes: 0 all recipes were trained that were started, 2 wrong command line, 3 a recipe
    failed, 130 interrupted.
    """

    recipes: Annotated[
        Path | None,
        typer.Argument(help="JSON list of recipes, or a manifest.json.", metavar="RECIPES"),
    ] = None
    preset: OfPreset = None
    only: Only = None
    shard: Shard = None
    data: Data = None
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder of the models.",
            show_default="./zoo/ and the preset's name",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    force: Annotated[
        bool,
        option(OUTPUT, "--force", help="Replace a model of another recipe under the same name."),
    ] = False
    quiet: Quiet = False
    max_seconds: MaxSeconds = None
    device: Device = "auto"
    threads: Threads = None
    debug: Debug = False


@dataclass(frozen=True)
class ZooListOptions:
    """List the models that a zoo holds, or that a list of recipes would make.

    Examples:
      backaudit zoo list ./zoo/smoke

      backaudit zoo list --preset cpu

    Exit codes: 0 listed, 2 wrong command line or no such zoo.
    """

    zoo: Annotated[
        Path | None,
        typer.Argument(help="Folder of a zoo, or a JSON list of recipes.", metavar="ZOO"),
    ] = None
    preset: OfPreset = None
    only: Only = None
    debug: Debug = False
