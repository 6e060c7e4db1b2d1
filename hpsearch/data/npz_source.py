"""Read NumPy's archives of features and targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .arrays import FEATURE_KEYS
from .memory_source import resolve_target_names, source_from_arrays
from .source_table import SourceTable

TARGET_KEYS = ("y", "y_train")
TEST_KEYS = (("x_test", "y_test"), ("X_test", "y_test"))


def read_npz(path: Path, data: DataSpec) -> SourceTable:
    """Read X and y, or x_train, y_train, x_test and y_test."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"not readable as npz: {error}") from None
    x, y = _find_first_array(arrays, FEATURE_KEYS), _find_first_array(arrays, TARGET_KEYS)
    if x is None or y is None:
        raise DataError(f"holds {', '.join(arrays)}; expected X and y, or x_train and y_train")
    targets = resolve_target_names(y, data)
    source = source_from_arrays(path.stem, x, y, targets)
    for x_key, y_key in TEST_KEYS:
        if x_key in arrays and y_key in arrays:
            test = source_from_arrays(path.stem, arrays[x_key], arrays[y_key], targets)
            source = replace(source, test_table=test.table, test_array=test.array)
    return source


def _find_first_array(arrays: dict[str, np.ndarray], keys: Sequence[str]) -> np.ndarray | None:
    return next((arrays[k] for k in keys if k in arrays), None)
