"""Files of recipes: what a stranger may have written becomes recipes that can be trained."""

import inspect
import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from backaudit.attacks import ATTACKS
from backaudit.bench.zoo.recipe import Recipe
from backaudit.core.errors import BackauditError, SettingError
from backaudit.core.printable import printable
from backaudit.core.settings import did_you_mean
from backaudit.nets.architectures import ARCHITECTURES
from backaudit.nets.training import Training

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
RESERVED = ("manifest",)
WANTED = "a JSON list of recipes, the manifest.json of a zoo, or --preset"
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def read_recipes(path: Path) -> tuple[Recipe, ...]:
    """Read a JSON list of recipes, or the recipes of a manifest that an earlier run wrote.

    Raises:
        SettingError: if the file is neither, or a recipe in it makes no sense.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise SettingError(f"there is no file {path}: give {WANTED}") from error
    except IsADirectoryError as error:
        raise SettingError(f"{path} is a folder: give {WANTED}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise SettingError(f"{path} cannot be read as JSON: {error}") from error
    if isinstance(content, dict) and isinstance(content.get("models"), list):
        content = [each.get("recipe") for each in content["models"] if isinstance(each, dict)]
    if not isinstance(content, list) or not content:
        raise SettingError(f"{path} holds no recipes: give {WANTED}")
    recipes = tuple(
        _recipe(record, f"{path}, recipe {number}") for number, record in enumerate(content, 1)
    )
    check_recipes(recipes)
    return recipes


def check_recipes(recipes: Sequence[Recipe]) -> None:
    """Make sure that names are unique, and that each surrogate is a benign model of the list.

    Raises:
        SettingError: if they are not.
    """
    # Case does not tell files apart everywhere.
    counts = Counter(recipe.name.lower() for recipe in recipes)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise SettingError(f"two recipes are called {twice[0]!r}; give each a name of its own")
    named = {recipe.name: recipe for recipe in recipes}
    for recipe in recipes:
        _check_surrogate(recipe, named)


def _check_surrogate(recipe: Recipe, named: Mapping[str, Recipe]) -> None:
    attacked = recipe.attack is not None and ATTACKS[recipe.attack].needs_surrogate
    if recipe.surrogate is None:
        if attacked or recipe.from_surrogate:
            what = f"the attack {recipe.attack}" if attacked else "from_surrogate"
            raise SettingError(
                f"{recipe.name}: {what} needs a surrogate, the name of a benign recipe of the same "
                "list"
            )
        return
    if not (attacked or recipe.from_surrogate):
        raise SettingError(f"{recipe.name} names a surrogate, which its attack does not use")
    if recipe.surrogate not in named:
        near = did_you_mean(recipe.surrogate, named)
        raise SettingError(f"{recipe.name}: no recipe is called {recipe.surrogate!r}. {near}")
    surrogate = named[recipe.surrogate]
    if surrogate.attack is not None or surrogate.dataset != recipe.dataset:
        raise SettingError(
            f"{recipe.name}: its surrogate {surrogate.name} must be a benign model of "
            f"{recipe.dataset}"
        )
    alike = (surrogate.architecture, surrogate.options) == (recipe.architecture, recipe.options)
    if recipe.from_surrogate and not alike:
        raise SettingError(
            f"{recipe.name}: it cannot start from {surrogate.name}, which is another network"
        )


def _recipe(record: object, where: str) -> Recipe:
    given = _checked_fields(Recipe, record, where)
    name = given["name"]
    if not NAME.fullmatch(name) or name.lower() in RESERVED:
        raise SettingError(
            f"{where}: {printable(name)!r} cannot name a model and its files: use letters, digits, "
            "'.', '_', '+' and '-'"
        )
    where = f"{where} ({name})"
    training = Training(**_checked_fields(Training, given["training"], f"{where}, training"))
    recipe = Recipe(**{**given, "training": training})
    _check_range(recipe, where)
    _check_network(recipe, where)
    _check_attack(recipe, where)
    return recipe


def _check_range(recipe: Recipe, where: str) -> None:
    training = recipe.training
    counts = {
        "training.epochs": (training.epochs, 1),
        "training.batch_size": (training.batch_size, 1),
        "train_images": (recipe.train_images, 1),
        "seed": (recipe.seed, 0),
    }
    for name, (value, least) in counts.items():
        if value is not None and value < least:
            raise SettingError(f"{where}: {name} is {value}; give {least} or more")
    if training.learning_rate <= 0 or training.weight_decay < 0 or training.shift < 0:
        raise SettingError(
            f"{where}: learning_rate must be above 0; weight_decay and shift, not below"
        )


def _check_network(recipe: Recipe, where: str) -> None:
    name = recipe.architecture
    _check_known(name, ARCHITECTURES, where, "architecture")
    known = set(inspect.signature(ARCHITECTURES[name]).parameters) - {"num_classes"}
    for option, value in recipe.options.items():
        _check_known(option, known, where, f"option of {name}")
        if type(value) is not int or value < 1:
            raise SettingError(f"{where}: options.{option} must be a whole number above 0")


def _check_attack(recipe: Recipe, where: str) -> None:
    if recipe.attack is None:
        if recipe.attack_settings:
            raise SettingError(
                f"{where}: attack_settings without an attack: name the attack, or leave them out"
            )
        return
    _check_known(recipe.attack, ATTACKS, where, "attack")
    attack = ATTACKS[recipe.attack]
    _checked_fields(attack, recipe.attack_settings, f"{where}, {recipe.attack}")
    try:
        recipe.build_attack()
    except (BackauditError, ValueError) as error:
        raise SettingError(f"{where}: {error}") from error


def _checked_fields(kind: type, record: object, where: str) -> dict[str, Any]:
    """The fields of a dataclass that ``record`` gives, if it gives each that is needed.

    Raises:
        SettingError: if a field is unknown, missing or of the wrong type.
    """
    if not isinstance(record, Mapping):
        raise SettingError(f"{where}: expected an object with fields, as {{...}}")
    known = {field.name: field for field in fields(kind) if field.init}
    types = get_type_hints(kind)
    for name, value in record.items():
        _check_known(name, known, where, "field")
        if name != "training" and not _fits(value, types[name]):
            raise SettingError(
                f"{where}: {name} is {printable(json.dumps(value))}, not {_described(types[name])}"
            )
    for name, field in known.items():
        needed = field.default is MISSING and field.default_factory is MISSING
        if needed and name not in record:
            raise SettingError(f"{where}: the field {name!r} is missing")
    return dict(record)


def _check_known(name: str, known: Collection[str], where: str, what: str) -> None:
    if name not in known:
        raise SettingError(
            f"{where}: there is no {what} {printable(name)!r}. {did_you_mean(name, known)}"
        )


def _fits(value: object, kind: Any) -> bool:
    """Whether a value read from JSON is one that a field of type ``kind`` may have."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is tuple:
        return isinstance(value, list | tuple)
    if kind is float:
        return type(value) in (int, float)
    if kind in KINDS or kind is NoneType:
        return type(value) is kind
    return not isinstance(origin, type) or isinstance(value, origin)


def _described(kind: Any) -> str:
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    words = ["null" if part is NoneType else KINDS.get(part, "that") for part in parts]
    return " or ".join(words)
