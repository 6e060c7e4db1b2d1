"""Texts from data and errors are escaped for every destination."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.escaping import (
    escape_formula,
    escape_html,
    escape_line,
    escape_markdown,
    escape_terminal,
    format_code_span,
)

HOSTILE = {
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "rub\x08\x7f": r"rub\x08\x7f",
    "\x9b31m": r"\x9b31m",
    "back\rover": r"back\x0dover",
    "user\u202etxt.exe": r"user\u202etxt.exe",
    "line\u2028end": r"line\u2028end",
    "half \udcff": r"half \udcff",
    "ärger 値 😀 a\tb\nc": "ärger 値 😀 a\tb\nc",
}


@pytest.mark.parametrize(("text", "expected"), HOSTILE.items())
def test_what_moves_a_cursor_is_spelled_out_and_other_text_stays(text, expected):
    assert expected == escape_terminal(text)


@given(st.text(st.characters(codec=None)))
def test_a_terminal_gets_text_that_can_be_encoded_and_holds_no_control_character(text):
    shown = escape_terminal(text)
    shown.encode()
    assert {"\n", "\t"} >= {c for c in shown if ord(c) < 32 or 127 <= ord(c) < 160}
    assert shown == escape_terminal(shown)
    assert len(escape_line(text).splitlines()) < 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", r"a\|b"),
        ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
        ("<img src=x>", r"\<img src=x\>"),
        ("**val_loss**", r"\*\*val_loss\*\*"),
        ("_hidden_", r"\_hidden\_"),
        ("two\nlines", "two lines"),
        ("learning_rate", "learning_rate"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text, expected):
    assert expected == escape_markdown(text)


def test_a_span_of_code_ends_where_it_should():
    assert "`a'b¦c`" == format_code_span("a`b|c")


def test_html_holds_neither_markup_nor_control_characters():
    assert r"&lt;b&gt;\x1b&amp;&quot;" == escape_html('<b>\x1b&"')


@pytest.mark.parametrize("text", ["=1+1", "+1", "-cmd", "@SUM(A1)", "\t=1", "\r=1", "＝1"])  # noqa: RUF001
def test_a_formula_becomes_text(text):
    assert f"'{text}" == escape_formula(text)


@pytest.mark.parametrize("value", [-1.5, None, True, "a=b", "", 3])
def test_other_cells_stay(value):
    assert value is escape_formula(value)
