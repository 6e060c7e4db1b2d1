"""Convert values of Python to those that a study file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def to_plain(value: Any) -> Any:
    """Convert mappings, tuples, ranges, and NumPy's arrays and numbers.

    Examples:
        >>> to_plain({"units": range(4, 6), "dropout": (0.1, None)})
        {'units': [4, 5], 'dropout': [0.1, None]}
    """
    if isinstance(value, Mapping):
        return {to_plain(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | range):
        return [to_plain(each) for each in value]
    return value.tolist() if hasattr(value, "tolist") else value
