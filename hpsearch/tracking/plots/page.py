"""One HTML page of Plotly figures, drawn by a small script of its own, so it needs no network.

Plotly's library would be 4.7 MB in each page, more than many a proxy lets through; `figures.js`
draws what our figures use of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

STYLE = "font-family: system-ui, sans-serif; max-width: 1100px; margin: 2em auto"
SCRIPT = Path(__file__).with_name("figures.js")


def write_page(path: Path, heading: str, figures: Iterable[tuple[str, Any]]) -> Path:
    """Write the figures, each below its title, to `path`."""
    parts = []
    for title, figure in figures:
        figure.layout.template = {}  # of looks that the script does not use
        held = figure.to_json().replace("<", "\\u003c")  # ends no element of the page
        parts.append(f"<h2>{title}</h2><script type='application/json'>{held}</script>")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<!doctype html><meta charset='utf-8'><title>{escape(heading)}</title>"
        f"<body style='{STYLE}'><h1>{escape(heading)}</h1>{''.join(parts)}"
        f"<script>{SCRIPT.read_text(encoding='utf-8')}</script>",
        encoding="utf-8",
    )
    return path
