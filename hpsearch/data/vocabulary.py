"""A categorical column's vocabulary: which category a cell is.

Copied beside a served model, with `cells`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import cached_property
from typing import Any

try:
    from .cells import moment_key, number_key, parse_bool, parse_number
except ImportError:  # beside a served model
    from hpsearch_cells import (  # type: ignore[import-not-found,no-redef]
        moment_key,
        number_key,
        parse_bool,
        parse_number,
    )

OTHER_CATEGORY = "(other)"
MAX_EXACT_FLOAT64 = 2**53  # beyond it, a float may be any of several whole numbers
_FLOAT_OF_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0")  # as pandas writes 1 beside a blank


class Vocabulary:
    """The codes of the categories, by their text and by its meaning.

    A text is the category that is spelled so. A number, truth value or date is the category whose
    text stands for it, if there is exactly one: 7 is "007" unless there is "7" too.
    """

    def __init__(
        self, categories: tuple[str, ...], *, exact: bool = False, buckets: int = 0
    ) -> None:
        """Categories in the order of their codes.

        Args:
            categories: Their texts; the last may be `OTHER_CATEGORY`, which takes all unknown ones.
            exact: They are spelled as a file spells them, so that texts must be spelled so too;
                otherwise they came as numbers, truth values or dates, and any text of these counts.
            buckets: Categories are hashed into this many instead.
        """
        self._codes = {text: code for code, text in enumerate(categories)}
        self._exact = exact
        self._buckets = buckets
        self._other_code = (
            self._codes.get(OTHER_CATEGORY) if categories[-1:] == (OTHER_CATEGORY,) else None
        )

    def encode(self, value: Any, text: str) -> int | None:
        """The code of a cell; None where it is unknown.

        Args:
            value: The cell as it came.
            text: What it says, once replacements are made.
        """
        if self._buckets:
            return zlib.crc32(_strip_zero_fraction(text).encode()) % self._buckets
        if isinstance(value, float) and abs(value) > MAX_EXACT_FLOAT64:
            code = self._codes_by_float.get(value)
            return self._other_code if code is None else code
        is_text = isinstance(value, str)
        code = self._codes.get(text) if is_text or not self._exact else None
        if code is None and self._codes:
            code = self._find_equivalent(text if is_text else value)
        return self._other_code if code is None else code

    def _find_equivalent(self, value: Any) -> int | None:
        """The one category that means the same number, truth value or date."""
        is_text = isinstance(value, str)
        truth = self._parse_bool(value)
        if truth is not None and truth in self._codes_by_bool:
            return self._codes_by_bool[truth]
        if is_text and self._exact:
            plain = _strip_zero_fraction(value)
            return self._codes.get(plain) if plain != value else None
        if isinstance(value, date) or is_text:
            moment = moment_key(value)
            if moment is not None and moment in self._codes_by_date:
                return self._codes_by_date[moment]
        number = number_key(int(value) if isinstance(value, bool) else value)
        if number is not None and number in self._codes_by_number:
            return self._codes_by_number[number]
        return self._codes.get(str(value).strip().lower())

    def _parse_bool(self, value: Any) -> bool | None:
        truth = parse_bool(value)
        number = number_key(value) if truth is None else None
        return bool(number) if number in (0, 1) else truth

    @cached_property
    def _codes_by_bool(self) -> Mapping[Any, int | None]:
        """Truth values, where all categories are words for one."""
        words = {t: parse_bool(t) for t in self._codes if t != OTHER_CATEGORY}
        return {} if None in words.values() else self._index_codes(words.get)

    @cached_property
    def _codes_by_number(self) -> Mapping[Any, int | None]:
        return self._index_codes(number_key)

    @cached_property
    def _codes_by_float(self) -> Mapping[Any, int | None]:
        return self._index_codes(parse_number)

    @cached_property
    def _codes_by_date(self) -> Mapping[Any, int | None]:
        return self._index_codes(lambda text: moment_key(text) if "-" in text else None)

    def _index_codes(self, meaning: Callable[[str], Any]) -> dict[Any, int | None]:
        """The code of each meaning; None where several categories have it."""
        found: dict[Any, int | None] = {}
        for text, code in self._codes.items():
            key = meaning(text)
            if key is not None:
                found[key] = None if key in found else code
        return found


def _strip_zero_fraction(text: str) -> str:
    """A whole number without the ".0" that it has where a column also holds blanks."""
    whole = _FLOAT_OF_WHOLE.fullmatch(text)
    return whole[1] if whole else text


def group_case_variants(texts: Iterable[str]) -> list[list[str]]:
    """Texts that differ in nothing but upper and lower case, together."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(text.casefold(), []).append(text)
    return [group for group in groups.values() if len(group) > 1]
