from rich.console import Console

from backaudit.bench.tables.layout import Columns, FigureTable

TABLE = FigureTable(
    "Calls",
    "model",
    ("some network", "  no attack", "  badnets"),
    (
        Columns("ban", ("Bd.", "Acc. %"), ((), ("0/3", "100 (44-100)"), ("2/2", "100 (34-100)"))),
        Columns("mm-bd", ("Bd.", "Acc. %"), ((), ("1/3", "67 (21-94)"), ("1/2", "50 (9-91)"))),
    ),
    ("A note.",),
)


def shown(table: FigureTable, width: int) -> list[str]:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines() if line.strip()]


def test_all_columns_in_one_table_where_there_is_room() -> None:
    lines = shown(TABLE, 80)
    assert lines[0] == "Calls"
    assert lines[1].split() == ["ban", "mm-bd"]
    assert lines[2].split() == ["model", "Bd.", "Acc.", "%", "Bd.", "Acc.", "%"]
    assert lines[5].split() == ["no", "attack", "0/3", "100", "(44-100)", "1/3", "67", "(21-94)"]
    assert lines[-1] == "A note."


def test_columns_come_below_each_other_where_there_is_none() -> None:
    lines = shown(TABLE, 40)
    assert sum("some network" in line for line in lines) == 2
    assert max(map(len, lines)) <= 40
    assert not any("…" in line for line in lines)
    assert any(line.split()[-1] == "(9-91)" for line in lines)


def test_no_width_cuts_a_cell_off() -> None:
    for width in range(34, 100):
        text = " ".join(shown(TABLE, width))
        assert all(cell in text for cell in ("100 (44-100)", "67 (21-94)", "no attack"))


def test_a_line_of_the_head_without_a_word_is_left_out() -> None:
    scores = FigureTable("Scores", "", ("F1",), (Columns("ban", ("",), (("1.00",),)),))
    assert [line.split() for line in shown(scores, 60)][1] == ["ban"]
    counts = FigureTable("Counts", "model", ("m",), (Columns("", ("n",), (("4",),)),))
    assert [line.split() for line in shown(counts, 60)][1] == ["model", "n"]


def test_markdown_has_every_column_under_its_methods_name() -> None:
    lines = TABLE.markdown().splitlines()
    assert lines[:5] == [
        "## Calls",
        "",
        "| model | ban Bd. | ban Acc. % | mm-bd Bd. | mm-bd Acc. % |",
        "| --- | --- | --- | --- | --- |",
        "| **some network** |  |  |  |  |",
    ]
    assert "100 (44-100) | 1/3 | 67 (21-94) |" in lines[5]


def test_names_from_files_stay_names() -> None:
    hostile = FigureTable(
        "Calls", "model", ("[red]a|b[/] <img> \x1b[2J",), (Columns("", ("n",), (("1",),)),)
    )
    assert r"\[red\]a\|b\[/\] &lt;img>" in hostile.markdown()
    assert "\x1b" not in hostile.markdown() + "".join(shown(hostile, 80))
    assert any("[red]a|b[/]" in line for line in shown(hostile, 80))
