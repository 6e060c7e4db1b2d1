"""Build the HTML elements that all parts of the page use. Every text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..escaping import escape_html
from ..redaction import redact


def html(text: object) -> str:
    """Escape a text and redact secrets, which a journal of an older version may contain."""
    return escape_html(redact(str(text)))


def render_pairs(values: Mapping[str, str]) -> str:
    """Render a table of names and values."""
    rows = "".join(f"<tr><td>{html(k)}</td><td>{html(v)}</td></tr>" for k, v in values.items())
    return f'<table class="pairs"><tbody>{rows}</tbody></table>'


def render_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "") -> str:
    """Render a table with a header row; `kind="described"` wraps texts in the last column."""
    heads = "".join(f"<th>{html(h)}</th>" for h in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    opening = f'<table class="{kind}">' if kind else "<table>"
    return f"{opening}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def render_box(inner: str, *, title: str = "", padded: str = " pad") -> str:
    """Render a card around HTML; cards without padding are for tables."""
    head = f"<h3>{html(title)}</h3>" if title else ""
    return f'<div class="box{padded}">{head}{inner}</div>'


def render_note(text: str) -> str:
    """Render a remark below a figure or a table; "" for an empty text."""
    return f'<p class="note">{html(text)}</p>' if text else ""


def render_columns(boxes: Iterable[str]) -> str:
    """Render boxes side by side if there is room."""
    return f'<div class="columns">{"".join(boxes)}</div>'
