"""The inputs of the split: labels, groups, declared folds and weights of each row."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import CrossValidationSpec
from .cells import expand_to_rows, factorize, format_cell
from .column_inference import text_sort_key
from .column_roles import ColumnRoles
from .columns import Target
from .folds import SplitInputs, assign_quantile_bins, encode_label_combinations


def make_split_inputs(
    table: Any,
    order: np.ndarray,
    roles: ColumnRoles,
    target: Target,
    number: np.ndarray,
    cv: CrossValidationSpec,
    weights: np.ndarray | None,
) -> SplitInputs:
    """Build the inputs of the split for the rows in `order`."""
    by_labels = target.kind == "multilabel" and cv.kind == "stratified"
    if target.parts and cv.kind in ("stratified", "stratified_group") and not by_labels:
        raise DataError(
            f"cross_validation.kind: {cv.kind} goes by one target, and {target.name} are several: "
            "use kfold, or group"
        )
    classes = tuple(str(c) for c in target.classes)
    marks: np.ndarray | None = None
    names: tuple[str, ...] = ()
    if target.kind == "multilabel":
        marks, names = number > 0.5, target.names
        labels = encode_label_combinations(marks)
    elif target.parts:
        labels = np.zeros(len(number), int)
    elif classes:
        one_hot = target.kind == "multiclass"
        labels = number.argmax(axis=1) if one_hot else number[:, 0].astype(np.int64)
    else:
        labels = assign_quantile_bins(number[:, 0], cv.folds)
    groups = None if roles.group is None else encode_groups(table, roles.group)[order]
    fold = None if roles.fold is None else encode_groups(table, roles.fold)[order]
    weights = None if weights is None else weights[order]
    return SplitInputs(labels, classes, groups, fold, weights, marks, names)


def encode_groups(table: Any, name: str) -> np.ndarray:
    """Encode the values of a column as 0, 1, … in sorted order; -1 stays -1."""
    values, indices = factorize(table[name])
    texts = [format_cell(v) for v in values]
    missing = expand_to_rows([not t for t in texts], indices, bool)
    if missing.any():
        raise DataError(f"column {name!r} is missing in row {int(missing.argmax()) + 1}")
    ranked = sorted({t for t in texts if t != "-1"}, key=text_sort_key)
    code = {"-1": -1, **{t: k for k, t in enumerate(ranked)}}
    return expand_to_rows([code.get(t, -1) for t in texts], indices, np.intp)
