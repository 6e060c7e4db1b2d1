"""One escaping rule for each destination of a text from data, declarations and errors.

    terminal   `printable`: control characters and direction marks become visible
    Markdown   `markdown`, `format_code_span`
    HTML       `html`
    CSV        `escape_formula`: what a spreadsheet would run as a formula becomes text
    Rich       markup is off in `cli.terminal.make_console`
    plots      mathtext is off in `tracking.plots.style.save`

Pure functions of texts.
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
    r"""`text` for a terminal: what would move its cursor or hide other text is spelled out.

    Lines and tabs stay.

    Examples:
        >>> escape_terminal("red\x1b[31m")
        'red\\x1b[31m'
    """
    return _UNPRINTABLE.sub(lambda found: _escape_character(found[0]), str(text))


def _escape_character(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def escape_line(text: object) -> str:
    """`printable`, on one line."""
    return escape_terminal(re.sub(r"[\r\n\t]+", " ", str(text)))


def escape_markdown(text: object) -> str:
    r"""`text` as plain text within a line or a table's cell of Markdown.

    Examples:
        >>> escape_markdown("a|b <i> val_loss")
        'a\\|b \\<i\\> val_loss'
    """
    return _MARKUP.sub(lambda found: f"\\{found[0]}", escape_line(text))


def format_code_span(text: object) -> str:
    """`text` in Markdown's type for code, where no backslash escapes."""
    return f"`{escape_line(text).replace('`', chr(39)).replace('|', '¦')}`"


def escape_html(text: object) -> str:
    """`text` within an HTML element or a quoted attribute."""
    return escape(escape_terminal(text))


def escape_formula(value: Any) -> Any:
    """A CSV cell that no spreadsheet takes for a formula: such a text gets a leading quote.

    Examples:
        >>> escape_formula("=1+1"), escape_formula(-1.5)
        ("'=1+1", -1.5)
    """
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
