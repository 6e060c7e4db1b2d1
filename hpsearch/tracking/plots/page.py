"""One HTML page of Plotly figures, which holds Plotly itself and so needs no network."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any


def write_page(path: Path, heading: str, figures: Iterable[tuple[str, Any]]) -> Path:
    """Write the figures, each below its title, to `path`."""
    from plotly import io

    plotly: bool = True  # with the first figure
    parts = []
    for title, figure in figures:
        parts.append(f"<h2>{title}</h2>")
        parts.append(io.to_html(figure, include_plotlyjs=plotly, full_html=False))
        plotly = False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<!doctype html><meta charset='utf-8'><title>{escape(heading)}</title>"
        "<body style='font-family: system-ui, sans-serif; max-width: 1100px; margin: 2em auto'>"
        f"<h1>{escape(heading)}</h1>{''.join(parts)}",
        encoding="utf-8",
    )
    return path
