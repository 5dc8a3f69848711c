"""A list of recipes into a folder: what exists is kept, what fails is told, the rest goes on."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import torch
from torch import nn

from backaudit.bench.data.datasets import LAYOUTS, Datasets
from backaudit.bench.zoo.locks import locked
from backaudit.bench.zoo.manifest import Card, read_card
from backaudit.bench.zoo.models import CPU, write_model
from backaudit.bench.zoo.recipe import Recipe
from backaudit.core.errors import BackauditError, CheckpointError, SettingError
from backaudit.core.printable import counted, printable
from backaudit.core.progress import track, under
from backaudit.loading.weights.checkpoint import read_checkpoint

log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What became of a recipe."""

    TRAINED = "trained"
    EXISTED = "there already"
    FAILED = "failed"
    ELSEWHERE = "being trained by another process"
    NOT_STARTED = "not started"


# At least one training is started, so that the smallest slice of time gets on.
TRIED = (Outcome.TRAINED, Outcome.FAILED)


@dataclass(frozen=True)
class Result:
    """One recipe of a run.

    Args:
        recipe: which.
        outcome: what became of it.
        card: of its model; None if there is none.
        error: why it failed; "" if it did not.
    """

    recipe: Recipe
    outcome: Outcome
    card: Card | None = None
    error: str = ""


@dataclass(frozen=True)
class TrainingRun:
    """How recipes are trained into a folder.

    Args:
        zoo: the folder.
        datasets: the data sets of the recipes.
        device: where to train.
        force: whether a model of another recipe under the same name is replaced.
        max_seconds: after so long no other training is started; None for no limit.
        tell: called with each result as soon as it is there.
    """

    zoo: Path
    datasets: Datasets
    device: torch.device = CPU
    force: bool = False
    max_seconds: float | None = None
    tell: Callable[[Result], None] = lambda _: None

    def train(self, recipes: Sequence[Recipe], known: Sequence[Recipe]) -> list[Result]:
        """Train ``recipes``, and before them the surrogates that they need.

        Args:
            recipes: what to train.
            known: recipes among which the surrogates are, such as the whole list.

        Raises:
            SettingError: if a data set is missing, or a model of another recipe is in the way.
        """
        surrogates = surrogates_of(recipes, known)
        ordered = [*surrogates, *(recipe for recipe in recipes if recipe not in surrogates)]
        self._check(ordered)
        results: dict[str, Result] = {}
        start = time.monotonic()
        for number, recipe in enumerate(track(ordered, "models"), start=1):
            tried = any(each.outcome in TRIED for each in results.values())
            late = tried and self._is_late(start)
            with under(f"{number} of {len(ordered)}, {recipe.name}"):
                result = self._result(recipe, results, wait=recipe in surrogates, late=late)
            results[recipe.name] = result
            self.tell(result)
        return list(results.values())

    def _is_late(self, start: float) -> bool:
        return self.max_seconds is not None and time.monotonic() - start > self.max_seconds

    def _check(self, recipes: Sequence[Recipe]) -> None:
        missing: dict[str, list[str]] = {}
        for recipe in recipes:
            if self._existing(recipe) is None and recipe.dataset not in self.datasets:
                missing.setdefault(recipe.dataset, []).append(recipe.name)
        if missing:
            raise SettingError("; ".join(_missing_data(missing)))

    def _existing(self, recipe: Recipe) -> Card | None:
        """The card of the recipe's model; None if there is none yet, or it is to be replaced."""
        card = read_card(self.zoo / f"{recipe.name}.json")
        if card is None or not (self.zoo / card["file"]).is_file():
            return None
        if is_of(recipe, card):
            return card
        if self.force:
            return None
        raise SettingError(
            f"{self.zoo} holds a model of another recipe that is called {recipe.name}, too; use "
            "another --output, or --force to replace it"
        )

    def _result(
        self, recipe: Recipe, earlier: Mapping[str, Result], *, wait: bool, late: bool
    ) -> Result:
        card = self._existing(recipe)
        if card is not None:
            return Result(recipe, Outcome.EXISTED, card)
        if late:
            return Result(recipe, Outcome.NOT_STARTED)
        with locked(self.zoo, recipe.name, wait=wait) as held:
            if not held:
                return Result(recipe, Outcome.ELSEWHERE)
            # The process that was waited for may have made it.
            card = self._existing(recipe)
            if card is not None:
                return Result(recipe, Outcome.EXISTED, card)
            return self._attempt(recipe, earlier)

    def _attempt(self, recipe: Recipe, earlier: Mapping[str, Result]) -> Result:
        try:
            card = self._train(recipe, earlier)
        except Exception as error:
            log.debug("%s failed", recipe.name, exc_info=True)
            kind = "" if isinstance(error, BackauditError) else f"{type(error).__name__}: "
            reason = f"{kind}{printable(error, 300)}"
            return Result(recipe, Outcome.FAILED, error=reason)
        return Result(recipe, Outcome.TRAINED, card)

    def _train(self, recipe: Recipe, earlier: Mapping[str, Result]) -> Card:
        surrogate = None
        if recipe.surrogate is not None:
            card = earlier[recipe.surrogate].card
            if card is None:
                raise SettingError(f"its surrogate {recipe.surrogate} is not there")
            surrogate = load_network(self.zoo, card).to(self.device)
        data = self.datasets[recipe.dataset]
        attack = recipe.build_attack()
        target = attack.target_class if attack else None
        if target is not None and not 0 <= target < len(data.class_names):
            last = len(data.class_names) - 1
            raise SettingError(
                f"no target class {target}: {recipe.dataset} has classes 0 to {last}"
            )
        return write_model(recipe, data, self.zoo, surrogate=surrogate, device=self.device)


def surrogates_of(recipes: Sequence[Recipe], known: Sequence[Recipe]) -> list[Recipe]:
    """The recipes of ``known`` that ``recipes`` name as surrogates, in their order."""
    wanted = {recipe.surrogate for recipe in recipes}
    return [recipe for recipe in known if recipe.name in wanted]


def is_of(recipe: Recipe, card: Card) -> bool:
    """Whether a card is of a model of this very recipe."""
    try:
        made = Recipe.from_record(card["recipe"])
    except (TypeError, KeyError):
        return False
    # JSON knows no tuples.
    first, second = (json.dumps(each.record(), sort_keys=True) for each in (made, recipe))
    return first == second


def load_network(zoo: Path, card: Card) -> nn.Module:
    """Load a network of the zoo, in eval mode on the CPU; nothing in its file is executed.

    Raises:
        CheckpointError: if its file is not the one that the card describes.
    """
    checkpoint = read_checkpoint(zoo / card["file"])
    if checkpoint.sha256 != card["sha256"]:
        raise CheckpointError(f"{checkpoint.path} is not the file that its card describes")
    network = Recipe.from_record(card["recipe"]).build_network(card["num_classes"])
    network.load_state_dict(checkpoint.state)
    return network.eval()


def _missing_data(missing: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, recipes in missing.items():
        several = len(recipes) > 1
        yield (
            f"{counted(len(recipes), 'recipe')} ({recipes[0]}{', ...' if several else ''}) "
            f"need{'' if several else 's'} the data set {name}: add --data {name}=PATH, or choose "
            "others with --only"
        )
    yield f"PATH is {LAYOUTS}"
