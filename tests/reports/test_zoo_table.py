import io

from rich.console import Console, RenderableType

from backaudit.reports.zoo_table import model_table, recipe_table
from tests.bench.zoos import badnets, card, recipe

LONG = "cifar10-vgg16-bn-cifar-w12-adaptive-soft-label-43"


def shown(page: RenderableType) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=80, color_system=None).print(page)
    return text.getvalue().splitlines()


def test_a_long_name_is_never_cut() -> None:
    assert LONG in shown(model_table([(LONG, None)], ["not started"]))[1]
    assert LONG in shown(recipe_table([recipe(LONG).record()]))[1]


def test_a_model_is_one_line_of_figures() -> None:
    cards = [card(recipe("a"), accuracy=0.912), card(badnets("b"), success=0.5)]
    lines = shown(model_table([(each["recipe"]["name"], each) for each in cards], ["in", "out"]))
    assert [line.split() for line in lines[1:]] == [
        ["a", "91.2%", "12", "in"],
        ["b", "90.0%", "50.0%", "12", "out"],
    ]


def test_a_card_without_a_time_is_shown() -> None:
    old = card(recipe("a"))
    del old["seconds"]
    assert shown(model_table([("a", old)], [""]))[1].split() == ["a", "90.0%"]
