"""backaudit rules: what a check does, what it needs, what it is blind to."""

from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from backaudit.cli.docstrings import arguments, sections, unwrapped
from backaudit.cli.exits import ExitCode
from backaudit.cli.options import RulesOptions
from backaudit.cli.outputs import print_page
from backaudit.core.errors import SettingError
from backaudit.core.settings import did_you_mean
from backaudit.detectors import DETECTORS
from backaudit.files.rules import FILE_RULES
from backaudit.purifiers import PURIFIERS
from backaudit.purifiers.in_turn import JOINED
from backaudit.screeners import SCREENERS

# A class with a rule, whose docstring is the page: a file rule, or a method of any kind.
Documented = Any


def run(options: RulesOptions) -> ExitCode:
    """Print the list of rules, or the documentation of one, or of several joined by ``+``."""
    pages = [_list()]
    if options.rule is not None:
        pages = [_page(_find(name)) for name in options.rule.split(JOINED)]
    for page in pages:
        print_page(page)
    return ExitCode.NO_EVIDENCE


def _documented() -> dict[str, Documented]:
    """Every rule by name, in the order of their ids."""
    # What is both is shown as a detector.
    screeners = {name: method for name, method in SCREENERS.items() if name not in DETECTORS}
    return {**FILE_RULES, **DETECTORS, **screeners, **PURIFIERS}


def _find(wanted: str) -> Documented:
    known = _documented()
    for name, method in known.items():
        if wanted.lower() in (name, method.rule.id.lower()):
            return method
    names = [*known, *(method.rule.id for method in known.values())]
    raise SettingError(f"there is no rule {wanted!r}. {did_you_mean(wanted, names)}")


def _list() -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("id", "name", "asks"):
        table.add_column(heading, header_style="bold")
    for name, method in _documented().items():
        table.add_row(Text(method.rule.id), Text(name, "bold"), Text(method.rule.title))
    return Group(table, Text("\nOne in full: backaudit rules ban", "dim"))


def _page(method: Documented) -> RenderableType:
    found = sections(method)
    about = found.pop("")
    meanings = arguments(found.pop("Args", ""))
    parts: list[RenderableType] = [
        Text(f"{method.rule.id}  {method.rule.name}", "bold"),
        Text(f"{method.rule.title}\n", "italic"),
        Text(unwrapped(about)),
    ]
    for heading, text in found.items():
        parts += [Text(f"\n{heading}", "bold"), _indented(unwrapped(text))]
    settings = [each for each in fields(method) if each.init] if is_dataclass(method) else []
    if settings:
        parts.append(Text(f"\nSettings (--set {method.rule.name}.NAME=VALUE)", "bold"))
    for field in settings:
        parts.append(_indented(f"{field.name} = {_default(field)}"))
        parts.append(Padding(Text(meanings.get(field.name, "")), (0, 0, 0, 6)))
    return Group(*parts)


def _indented(text: str) -> Padding:
    return Padding(Text(text), (0, 0, 0, 2))


def _default(field: Field[object]) -> object:
    if field.default is not MISSING:
        return field.default
    return "" if field.default_factory is MISSING else field.default_factory()
