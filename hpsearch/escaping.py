"""One escaping rule per destination of text from data, declarations and errors.

    terminal   `escape_terminal`, `escape_line`: control characters and direction marks
    Markdown   `escape_markdown`, `format_code_span`
    HTML       `escape_html`
    CSV        `escape_formula`: cells that a spreadsheet would run as a formula
    Rich       markup is off in `cli.terminal.make_console`
    plots      mathtext is off in `tracking.plots.style.save`

All are pure functions.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

# C0 without tab and newline, DEL, C1, soft line ends, direction marks, surrogates and the BOM.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
# CommonMark's punctuation that begins something within a line; an underscore only beside a space.
_MARKUP = re.compile(r"[\\`*\[\]<>|!$~#&]|(?<!\w)_|_(?!\w)")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def escape_terminal(text: object) -> str:
    r"""Escape control characters, which could move a terminal's cursor or hide text.

    Newlines and tabs are kept.

    Examples:
        >>> escape_terminal("red\x1b[31m")
        'red\\x1b[31m'
    """
    return _UNPRINTABLE.sub(lambda found: _escape_character(found[0]), str(text))


def _escape_character(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def escape_line(text: object) -> str:
    """Escape `text` for a terminal, newlines included."""
    return escape_terminal(re.sub(r"[\r\n\t]+", " ", str(text)))


def escape_markdown(text: object) -> str:
    r"""Escape `text` for a line or a table cell of Markdown.

    Examples:
        >>> escape_markdown("a|b <i> val_loss")
        'a\\|b \\<i\\> val_loss'
    """
    return _MARKUP.sub(lambda found: f"\\{found[0]}", escape_line(text))


def format_code_span(text: object) -> str:
    """Format `text` as a Markdown code span, where backslashes do not escape."""
    return f"`{escape_line(text).replace('`', chr(39)).replace('|', '¦')}`"


def escape_html(text: object) -> str:
    """Escape `text` for an HTML element or a quoted attribute."""
    return escape(escape_terminal(text))


def escape_formula(value: Any) -> Any:
    """Escape a CSV cell that a spreadsheet would run as a formula, with a leading quote.

    Examples:
        >>> escape_formula("=1+1"), escape_formula(-1.5)
        ("'=1+1", -1.5)
    """
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
