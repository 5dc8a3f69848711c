"""The formats of an audit's report, one renderer a file."""

from backaudit.reports import json, terminal
from backaudit.reports.report import Renderer

RENDERERS: dict[str, Renderer] = {"terminal": terminal.render, "json": json.render}
