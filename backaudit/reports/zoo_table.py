"""Models of a zoo as tables: one line a model."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

Record = Mapping[str, Any]


def model_table(
    models: Sequence[tuple[str, Record | None]], notes: Sequence[str]
) -> RenderableType:
    """Lay out trained models.

    Args:
        models: name and card of each; None for a model that is not there.
        notes: what is to be said of each.
    """
    table = _table(
        "model", "accuracy", "attack", "seconds", "", numbers=("accuracy", "attack", "seconds")
    )
    for (name, card), note in zip(models, notes, strict=True):
        figures = ("", "", "") if card is None else _figures(card)
        table.add_row(Text(name, "bold"), *map(Text, figures), Text(note))
    return table


def recipe_table(recipes: Sequence[Record]) -> RenderableType:
    """Lay out recipes, by their records."""
    table = _table("model", "images", "epochs", "attack", "settings", numbers=("images", "epochs"))
    for recipe in recipes:
        settings = ", ".join(f"{name}={value}" for name, value in recipe["attack_settings"].items())
        images = "all" if recipe["train_images"] is None else f"{recipe['train_images']:,}"
        epochs = str(recipe["training"]["epochs"])
        attack = recipe["attack"] or "none"
        row = (images, epochs, attack, settings)
        table.add_row(Text(recipe["name"], "bold"), *map(Text, row))
    return table


def _figures(card: Record) -> tuple[str, str, str]:
    success = card.get("attack_success_rate")
    seconds = card.get("seconds")
    return (
        f"{card['clean_accuracy']:.1%}",
        "" if success is None else f"{success:.1%}",
        "" if seconds is None else f"{seconds:.0f}",
    )


def _table(*headings: str, numbers: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        justify: Literal["left", "right"] = "right" if heading in numbers else "left"
        # A name that is cut short says nothing: it ends with the attack and the seed.
        whole = heading == headings[0] or heading in numbers
        table.add_column(heading, header_style="bold", justify=justify, no_wrap=whole)
    return table
