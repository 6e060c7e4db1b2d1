"""Convert free text to numbered tokens: lower-cased words and single punctuation marks.

A token's number is a hash of its text, so nothing is fitted to the rows and no vocabulary is
stored. Networks reduce the numbers to a vocabulary of their size; see `models/text_encoding`.

This file is copied beside a served model, as `cells` is.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np

N_HASHES = (1 << 24) - 1  # float32 is exact up to this whole number
# Ideographs and kana are tokens of their own: their scripts put no blanks between words.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w)+|[^\w\s]")


def tokenize(text: str) -> list[str]:
    """Split a text into tokens.

    Examples:
        >>> tokenize("Don't WAIT, call 0800!")
        ['don', "'", 't', 'wait', ',', 'call', '0800', '!']
    """
    return _TOKEN.findall(text.lower())


def hash_token(token: str) -> int:
    """Return the number of a token, from 1 to `N_HASHES`; 0 is the padding of short texts."""
    return 1 + zlib.crc32(token.encode("utf-8", "surrogatepass")) % N_HASHES


def encode_texts(texts: Sequence[str], n_tokens: int) -> np.ndarray:
    """Return the first tokens of each text, (n, n_tokens) float32, padded with 0.

    A missing text, "", is NaN in all of them.
    """
    encoded = np.zeros((len(texts), n_tokens), np.float32)
    known: dict[str, int] = {}
    for row, text in zip(encoded, texts, strict=True):
        if not text:
            row[:] = np.nan
        for index, token in enumerate(tokenize(text)[:n_tokens]):
            if token not in known:
                known[token] = hash_token(token)
            row[index] = known[token]
    return encoded
