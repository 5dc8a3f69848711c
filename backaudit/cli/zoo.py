"""backaudit zoo: train models whose truth is known, and list them."""

from collections.abc import Sequence
from pathlib import Path

import torch

from backaudit.bench.data.datasets import Datasets, data_files
from backaudit.bench.zoo.manifest import MANIFEST, Card, read_cards, why_left_out, write_manifest
from backaudit.bench.zoo.presets import PRESETS
from backaudit.bench.zoo.recipe import Recipe
from backaudit.bench.zoo.recipe_files import check_recipes, read_recipes
from backaudit.bench.zoo.training_run import Outcome, Result, TrainingRun
from backaudit.cli.device import choose_device
from backaudit.cli.exits import ExitCode
from backaudit.cli.messages import say, standard_error
from backaudit.cli.outputs import print_page
from backaudit.cli.patterns import matches
from backaudit.cli.progress import progress_shown
from backaudit.cli.sharding import shard
from backaudit.cli.zoo_options import Preset, ZooListOptions, ZooTrainOptions
from backaudit.core.errors import OutputError, SettingError
from backaudit.core.printable import counted
from backaudit.reports.zoo_table import model_table, recipe_table

DEFAULT = Path("zoo")


def train(options: ZooTrainOptions) -> ExitCode:
    """Train recipes into a folder."""
    known = _known(options.recipes, options.preset)
    recipes = shard(_only(known, options.only or ()), options.shard)
    zoo = options.output or DEFAULT / (options.preset or _stem(options.recipes))
    device, warning = choose_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    run = TrainingRun(
        zoo,
        Datasets(data_files(options.data or ())),
        device,
        force=options.force,
        max_seconds=options.max_seconds,
        tell=_silent if options.quiet else _Told(),
    )
    if warning and not options.quiet:
        say(warning)
    _make(zoo)
    try:
        with progress_shown(standard_error(), "training a zoo", quiet=options.quiet):
            results = run.train(recipes, known)
    finally:
        write_manifest(zoo)
    print_page(model_table(*_rows(results, zoo)))
    return _conclude(results, zoo, quiet=options.quiet)


def show(options: ZooListOptions) -> ExitCode:
    """List what a zoo holds, or what recipes would make."""
    if options.zoo is not None and options.preset is None and options.zoo.is_dir():
        cards = read_cards(options.zoo)
        shown = [card for card in cards if matches(card["recipe"]["name"], options.only or ())]
        notes = [why_left_out(card, cards) or "in the benchmark" for card in shown]
        print_page(model_table([(card["recipe"]["name"], card) for card in shown], notes))
        return ExitCode.NO_EVIDENCE
    if options.zoo is not None and not options.zoo.exists():
        raise SettingError(
            f"there is no file or folder {options.zoo}: give the folder of a zoo, a JSON list of "
            "recipes, or --preset"
        )
    recipes = _known(options.zoo, options.preset)
    print_page(recipe_table([each.record() for each in _only(recipes, options.only or ())]))
    return ExitCode.NO_EVIDENCE


def _known(file: Path | None, preset: Preset | None) -> Sequence[Recipe]:
    """Every recipe of the list that was named."""
    if (file is None) == (preset is None):
        presets = ", ".join(Preset)
        raise SettingError(f"give a file or folder, or --preset with one of {presets}; not both")
    if preset is None and file is not None:
        return read_recipes(file)
    recipes = PRESETS[str(preset)]()
    check_recipes(recipes)
    return recipes


def _only(recipes: Sequence[Recipe], patterns: Sequence[str]) -> Sequence[Recipe]:
    chosen = [recipe for recipe in recipes if matches(recipe.name, patterns)]
    if not chosen:
        raise SettingError(
            f"--only {' '.join(patterns)}: none of the {len(recipes)} recipes has such a name, the "
            f"first of which is {recipes[0].name}"
        )
    return chosen


def _stem(file: Path | None) -> str:
    """Name of the folder for a file of recipes; a manifest is called like its folder."""
    if file is None:
        return ""
    return file.resolve().parent.name if file.name == MANIFEST else file.stem


def _make(zoo: Path) -> None:
    try:
        zoo.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{zoo} is no folder that models can be put in: {error.strerror}"
        ) from error


class _Told:
    """Tells of each model as soon as it is there, since a zoo takes hours."""

    def __call__(self, result: Result) -> None:
        if result.outcome is Outcome.FAILED:
            say(f"{result.recipe.name} failed: {result.error}")
        elif result.outcome is Outcome.TRAINED and result.card is not None:
            say(f"{result.recipe.name}: trained, {_figures(result.card)}")


def _silent(_: Result) -> None:
    return


def _figures(card: Card) -> str:
    accuracy = f"accuracy {card['clean_accuracy']:.1%}"
    success = card.get("attack_success_rate")
    attacked = "" if success is None else f", attack success {success:.1%}"
    return f"{accuracy}{attacked}, {card['seconds']:.0f} s"


def _rows(results: Sequence[Result], zoo: Path) -> tuple[list[tuple[str, Card | None]], list[str]]:
    """Name and card of each recipe of the run, and what is to be said of it."""
    named = [(result.recipe.name, result.card) for result in results]
    made = any(card for _, card in named)
    cards = read_cards(zoo) if made else []
    notes = []
    for result in results:
        if result.card is None:
            note = f"failed: {result.error}" if result.error else result.outcome.value
        else:
            note = why_left_out(result.card, cards) or "in the benchmark"
        notes.append(note)
    return named, notes


def _conclude(results: Sequence[Result], zoo: Path, *, quiet: bool) -> ExitCode:
    counts = {kind: sum(result.outcome is kind for result in results) for kind in Outcome}
    if not quiet:
        said = ", ".join(f"{count} {kind.value}" for kind, count in counts.items() if count)
        say(f"{counted(len(results), 'recipe')}: {said}; the models are in {zoo}")
        if counts[Outcome.NOT_STARTED]:
            say("the time is up; the same command goes on where this one stopped")
    return ExitCode.NOT_AUDITED if counts[Outcome.FAILED] else ExitCode.NO_EVIDENCE
