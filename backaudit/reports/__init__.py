"""Reports: an audit as text, one renderer a file; they decide nothing."""

from backaudit.reports import json, terminal
from backaudit.reports.report import Renderer

RENDERERS: dict[str, Renderer] = {"terminal": terminal.render, "json": json.render}
