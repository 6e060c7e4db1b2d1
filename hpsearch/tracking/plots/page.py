"""Write an HTML page of Plotly figures that needs no network.

Plotly's library would add 4.7 MB to each page, which exceeds the upload limit of many proxies.
`figures.js` draws the subset of Plotly that our figures use.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...escaping import escape_html
from ...platforms.files import make_folder, write_text

STYLE = "font-family: system-ui, sans-serif; max-width: 1100px; margin: 2em auto"
SCRIPT = Path(__file__).with_name("figures.js")


def write_page(path: Path, heading: str, figures: Iterable[tuple[str, Any]]) -> Path:
    """Write a page with the figures, each below its title, to `path`."""
    parts = []
    for title, figure in figures:
        figure.layout.template = {}  # styles that the script does not use
        held = figure.to_json().replace("<", "\\u003c")  # no text can close the element
        held = f"<script type='application/json'>{held}</script>"
        parts.append(f"<h2>{escape_html(title)}</h2>{held}")
    make_folder(path.parent)
    write_text(
        path,
        f"<!doctype html><meta charset='utf-8'><title>{escape_html(heading)}</title>"
        f"<body style='{STYLE}'><h1>{escape_html(heading)}</h1>{''.join(parts)}"
        f"<script>{SCRIPT.read_text(encoding='utf-8')}</script>",
    )
    return path
