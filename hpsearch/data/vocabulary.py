"""Encode the cells of a categorical column with its vocabulary.

This file is copied beside a served model, as `cells` is.
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
MAX_EXACT_FLOAT64 = 2**53  # a larger float may be any of several whole numbers
_FLOAT_OF_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0")  # pandas' 1 if there are blanks


class Vocabulary:
    """Codes of the categories, by text and by meaning.

    A text matches the category with the same spelling. A number, truth value or date matches the
    category whose text means it, if there is exactly one: 7 is "007" unless "7" exists too.
    """

    def __init__(
        self, categories: tuple[str, ...], *, exact: bool = False, buckets: int = 0
    ) -> None:
        """Create a vocabulary from the categories in the order of their codes.

        Args:
            categories: Their texts; the last may be `OTHER_CATEGORY`, which takes unknown ones.
            exact: Whether categories came from text, so that texts must match exactly; otherwise
                they came as numbers, truth values or dates, and any text of the same value matches.
            buckets: Number of hash buckets used instead of a vocabulary; 0: none.
        """
        self._codes = {text: code for code, text in enumerate(categories)}
        self._exact = exact
        self._buckets = buckets
        self._other_code = (
            self._codes.get(OTHER_CATEGORY) if categories[-1:] == (OTHER_CATEGORY,) else None
        )

    def encode(self, value: Any, text: str) -> int | None:
        """Return the code of a cell; None if it is unknown.

        Args:
            value: The raw cell.
            text: Its text after replacements.
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
        """Find the only category with the same number, truth value or date."""
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
        """Index the categories by truth value if every category is a word for one."""
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
        """Index codes by key; None for a key that several categories share."""
        found: dict[Any, int | None] = {}
        for text, code in self._codes.items():
            key = meaning(text)
            if key is not None:
                found[key] = None if key in found else code
        return found


def _strip_zero_fraction(text: str) -> str:
    """Strip the ".0" that pandas appends to whole numbers in a column with blanks."""
    whole = _FLOAT_OF_WHOLE.fullmatch(text)
    return whole[1] if whole else text


def group_case_variants(texts: Iterable[str]) -> list[list[str]]:
    """Group texts that differ only in case."""
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(text.casefold(), []).append(text)
    return [group for group in groups.values() if len(group) > 1]
