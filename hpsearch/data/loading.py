"""Build a `Dataset` from its declaration: read, assign roles, lock test rows, clean, split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import DataError
from ..spec.data_spec import REPEATABLE_KINDS, CrossValidationSpec, DataSpec, Task
from .arrays import reshape_rows, stack_columns
from .cells import expand_to_rows, factorize, format_cell
from .column_cleaning import clean_column
from .column_inference import infer_columns, text_sort_key
from .column_roles import (
    ColumnRoles,
    assign_roles,
    mask_missing_targets,
    select_rows,
    sort_rows_by_time,
)
from .columns import Column, RowWindow, Target
from .dataset import Dataset, LockedRows, TestRows
from .fingerprint import fingerprint
from .folds import (
    GivenFolds,
    SplitInputs,
    assign_quantile_bins,
    encode_label_combinations,
    resolve_fold_kind,
    split_outer_fold,
    split_test_rows,
    take_given_folds,
)
from .forecast_columns import DerivedTable, derive_columns
from .image_files import embed_images
from .malloc import trim_heap
from .memory_source import source_from_memory
from .row_sample import (
    describe_sample,
    make_sample_folds,
    refuse_sample_of_given_folds,
    sample_rows,
)
from .row_store import FOLDER, refuse_unstored, store_rows
from .schema import Schema
from .source_table import SourceTable
from .sources import NOTHING_PINNED, read_source
from .split import Split
from .target_inference import infer_targets
from .windows import Windows, build_windows

TEXT_KINDS = ("categorical", "date", "text", "image")


def load(
    data: DataSpec,
    *,
    task: Task | None,
    cross_validation: CrossValidationSpec | None,
    seed: int,
    folder: Path,
    arrays: Any = None,
    pinned: Mapping[str, str] = NOTHING_PINNED,
    given_folds: GivenFolds | None = None,
    cache: Path | None = None,
) -> Dataset:
    """Load the data of a study.

    Args:
        data: The `data` section of the study file.
        task: The task; None: inferred from the target.
        cross_validation: The folds; None: five, stratified for a classification.
        seed: The study's seed; it alone determines test rows and folds.
        folder: Base of relative paths.
        arrays: Data in memory instead of `data.source`: (X, y), (frame, y) or a frame.
        pinned: The versions that an earlier run has read, by location: `Dataset.versions`.
        given_folds: Training and validation rows of each fold, as indices of the source's rows,
            instead of `cross_validation`.
        cache: The folder for copies of addresses; None: they are deleted when they are read.

    Raises:
        DataError: In one line: the location, what was found, and how to fix it.
    """
    cv = cross_validation or CrossValidationSpec()
    if arrays is None:
        source = read_source(data, folder, list_text_columns(data, cv, task), pinned, cache)
    else:
        source = source_from_memory(arrays, data)
    source = embed_images(source, data, folder)
    if data.outer_fold is not None:  # nested: the outer fold is locked instead
        source = replace(source, test_table=None, test_array=None)
    trim_heap()
    if data.windows is not None:
        cv = _require_time_order(cv)
    name = source.name
    try:
        if source.is_mapped:
            refuse_unstored(data)
        folder_of_stores = None if cache is None or not source.is_mapped else cache / FOLDER
        derived = derive_columns(source, data, cv)
        if derived.outputs:
            _refuse_forecast_options(data, task, given_folds)
            task = "regression"
        dataset = _build_dataset(
            derived, task=task, seed=seed, given=given_folds, stores=folder_of_stores
        )
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    del source, derived
    trim_heap()
    return dataset


def _refuse_forecast_options(data: DataSpec, task: Task | None, given: GivenFolds | None) -> None:
    key = "quantiles" if data.forecast is None else "forecast"
    if task not in (None, "regression"):
        raise DataError(f"data.{key} predicts numbers; got task: {task}")
    if data.forecast is not None and given is not None:
        raise DataError("data.forecast makes its own folds: leave folds out")


def list_text_columns(
    data: DataSpec, cv: CrossValidationSpec, task: Task | None
) -> tuple[str, ...]:
    """List the columns declared as non-numeric."""
    names = [
        n for n, c in data.columns.items() if c.kind in TEXT_KINDS or c.buckets or c.group_rare
    ]
    if task in ("binary", "multiclass", "multilabel"):
        names += data.targets
    by = data.windows.by if data.windows else None
    return tuple(name for name in (*names, cv.group, cv.column, by) if name)


def _build_dataset(
    derived: DerivedTable,
    *,
    task: Task | None,
    seed: int,
    given: GivenFolds | None,
    stores: Path | None,
) -> Dataset:
    data, cv = derived.data, derived.cross_validation
    source = _reshape_source(derived.source, data, cv)
    table = source.table
    roles = assign_roles(source, data, cv)
    labelled = _select_labelled_rows(source, roles, data, task)
    order, target, number = labelled.order, labelled.target, labelled.encoded
    windows = labelled.windows
    weights = _read_weights(table, roles.weights)
    rows = _make_split_inputs(table, order, roles, target, number, cv, weights)
    if derived.times is not None and windows is not None and roles.group is None:
        rows = replace(rows, time_steps=derived.times.steps[order])
        windows = derived.add_times(windows, order)
    cv = cv.model_copy(update={"kind": resolve_fold_kind(cv, rows)})
    development, test = _split_off_test(source, data, rows, cv, seed)
    if windows is not None:
        development = development[~windows.mask_overlapping(development, test)]
    here = order[development]
    schema, column_notes = _make_schema(source, data, roles, target, here)
    trim_heap()
    split_inputs = rows.take(development)
    derived.require_long_folds(len(split_inputs.step_starts))
    sample = None if data.rows is None else sample_rows(split_inputs, cv, data.rows, seed=seed)
    mark = _compute_fingerprint(source, roles, given or (), sample)
    features = None
    # The cleaned table is the largest array: it has no name here, so that it is freed early.
    if stores is not None:
        stored = store_rows(schema, table, here, order[test], fingerprint=mark, folder=stores)
        columns, features, test_columns = stored.columns, stored.features, stored.locked
    elif windows is None:
        columns, test_columns = _divide_rows(schema.clean(source.rows), here, order[test])
    else:
        columns, test_columns, windows = _divide_windows(
            schema.clean(source.rows)[labelled.in_time], windows, development, test
        )
    if source.test_table is None:
        raw = table if stores is None else None
        locked = _lock_rows(raw, test_columns, number[test], weights, order[test])
    else:
        locked = _lock_test_source(source, schema, roles, data)
    if given is None:
        folds = make_sample_folds(split_inputs, cv, sample, seed=seed)
    else:
        refuse_sample_of_given_folds(data.rows)
        cv = cv.model_copy(update={"kind": "predefined"})
        folds = take_given_folds(given, here, table.num_rows, split_inputs)
    if windows is not None:
        folds = windows.purge_folds(folds)
    if target.kind == "regression":
        _require_target_variation(number[development], folds, target.names)
    notes = (*source.notes, *labelled.notes, *column_notes)
    return Dataset(
        name=source.name,
        task=target.kind,
        schema=derived.mark_schema(schema),
        scaling=data.scaling,
        fingerprint=mark,
        columns=columns,
        stored_features=features,
        target=number[development],
        weights=None if weights is None else weights[here],
        folds=folds,
        split_inputs=split_inputs,
        cross_validation=cv,
        locked_rows=locked,
        rows=here,
        windows=windows,
        sample=sample,
        versions=source.versions,
        notes=(
            *notes,
            *describe_sample(sample, len(development)),
            *_note_constant_columns(schema, columns),
        ),
    )


@dataclass(frozen=True, slots=True)
class _LabelledRows:
    """The rows whose target is known."""

    order: np.ndarray  # their indices in the table
    target: Target
    encoded: np.ndarray  # their targets as numbers, (n_rows, n_outputs)
    windows: Windows | None
    in_time: np.ndarray | None  # with windows: the indices of all rows of the table by time
    notes: tuple[str, ...]


def _select_labelled_rows(
    source: SourceTable, roles: ColumnRoles, data: DataSpec, task: Task | None
) -> _LabelledRows:
    """Select the rows whose target is known, and infer and encode their target."""
    table = source.table
    order, row_notes = select_rows(source, roles, data)
    if order.size == 0:
        raise DataError("there are no rows" if table.num_rows == 0 else "no row has a target")
    window, windows, in_time = _make_row_window(data), None, None
    if window is not None:
        in_time, known, windows = _build_windows(table, order, roles, window)
        order = order[known]
    labels = table.select(list(roles.targets)).take(order)
    target, target_notes = infer_targets(labels, roles.targets, data, task, source.origin)
    encoded = Schema((), target).encode_target(labels, order)
    return _LabelledRows(
        order, target, encoded, windows, in_time, notes=(*row_notes, *target_notes)
    )


def _split_off_test(
    source: SourceTable, data: DataSpec, rows: SplitInputs, cv: CrossValidationSpec, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of development and test rows; with a test file, no test rows."""
    if data.outer_fold is not None:
        return split_outer_fold(rows, cv, data.outer_fold, seed=seed)
    fraction = 0.0 if source.test_table is not None else data.test_fraction
    return split_test_rows(rows, cv, fraction=fraction, seed=seed)


def _make_schema(
    source: SourceTable,
    data: DataSpec,
    roles: ColumnRoles,
    target: Target,
    here: np.ndarray,
) -> tuple[Schema, Sequence[str]]:
    """Infer the schema from the development rows `here`, with notes for the user."""
    names = roles.features
    if data.windows is not None and data.windows.include_target:
        names = (*names, *roles.targets)
    inferred, notes = infer_columns(source.table, names, data, here, source.origin)
    if data.windows is not None and (array := next((c for c in inferred if c.is_array), None)):
        raise DataError(
            f"data.windows: column {array.name!r} is {array.kind}, which windows do not take: "
            f"data.drop: [{array.name}]"
        )
    schema = _make_array_schema(source.array, target, data) or Schema(
        inferred, target, window=_make_row_window(data), layout=source.layout
    )
    return schema, notes


def _divide_rows(
    cleaned: np.ndarray, here: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Split cleaned rows into development and test rows."""
    is_whole = np.array_equal(here, np.arange(len(cleaned)))
    return cleaned if is_whole else cleaned[here], cleaned[test]


def _divide_windows(
    cleaned: np.ndarray, windows: Windows, development: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Windows]:
    """Return the cleaned table that windows index, the rows of the test windows, and the windows.

    Rows that no development window covers are set to NaN, so locked rows stay hidden.
    """
    test_columns = windows.take(cleaned, test)
    kept = windows.select(development)
    covered = kept.find_covered_rows(len(cleaned), np.arange(len(development)))
    cleaned[np.setdiff1d(np.arange(len(cleaned)), covered)] = np.nan
    return cleaned, test_columns, kept


def _require_time_order(cv: CrossValidationSpec) -> CrossValidationSpec:
    """Return the folds of a time series, `time_series` by default; refuse shuffled ones."""
    if cv.kind is None:
        return cv.model_copy(update={"kind": "time_series"})
    if cv.kind in REPEATABLE_KINDS and cv.shuffle:
        raise DataError(
            f"data.windows: kind: {cv.kind} would shuffle a time series, whose windows overlap: "
            "cross_validation.kind: time_series, or shuffle: false"
        )
    return cv


def _make_row_window(data: DataSpec) -> RowWindow | None:
    w = data.windows
    return None if w is None else RowWindow(w.rows, w.horizon, w.by or "")


def _build_windows(
    table: Any, order: np.ndarray, roles: ColumnRoles, window: RowWindow
) -> tuple[np.ndarray, np.ndarray, Windows]:
    """Call `build_windows`; windows may cover rows without a target."""
    codes, names = np.zeros(table.num_rows, np.intp), [""]
    if window.by:
        codes = _encode_groups(table, window.by)
        first = np.unique(codes, return_index=True)[1]
        names = [format_cell(table[window.by][int(i)].as_py()) for i in first]
        codes = np.unique(codes, return_inverse=True)[1]
    in_time = sort_rows_by_time(table, roles, np.arange(table.num_rows))
    return build_windows(window, codes, in_time, order, names)


def _compute_fingerprint(
    source: SourceTable, roles: ColumnRoles, given: GivenFolds, sample: np.ndarray | None
) -> str:
    """Fingerprint all used columns of the two tables, and given folds or a sample."""
    tables = [source.table] if source.test_table is None else [source.table, source.test_table]
    each = [(table, set(table.column_names)) for table in tables]
    used = (t.select([name for name in roles.used_columns if name in there]) for t, there in each)
    arrays = [a for a in (source.array, source.test_array) if a is not None]
    arrays += [np.asarray(part, int) for fold in given for part in fold]
    return fingerprint(used, arrays if sample is None else [*arrays, sample.astype(int)])


def _reshape_source(source: SourceTable, data: DataSpec, cv: CrossValidationSpec) -> SourceTable:
    """Reshape the feature columns or arrays of a source to the declared shape."""
    if data.shape is None:
        return source
    if source.array is not None:
        test = source.test_array
        return replace(
            source,
            array=reshape_rows(source.array, data.shape),
            test_array=None if test is None else reshape_rows(test, data.shape),
        )
    features = assign_roles(source, data, cv).features
    table, array = _split_off_array(source.table, features, data.shape)
    if source.test_table is None:
        return replace(source, table=table, array=array)
    test, test_array = _split_off_array(source.test_table, features, data.shape)
    return replace(source, table=table, array=array, test_table=test, test_array=test_array)


def _split_off_array(
    table: Any, names: Sequence[str], shape: Sequence[int]
) -> tuple[Any, np.ndarray]:
    """Move the named columns of a table into an array, (n_rows, *shape)."""
    return table.drop_columns(list(names)), reshape_rows(stack_columns(table, names), shape)


def _make_array_schema(array: np.ndarray | None, target: Target, data: DataSpec) -> Schema | None:
    """Build the schema of array rows: each index of the last axis is scaled separately."""
    if array is None:
        return None
    names = [f"channel_{k}" for k in range(array.shape[-1])]
    columns = tuple(Column(name, "numeric", impute=data.impute) for name in names)
    dtype: Literal["uint8", "float32"] = "uint8" if array.dtype == np.uint8 else "float32"
    return Schema(columns, target, array.shape[1:], dtype)


def _make_split_inputs(
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
    groups = None if roles.group is None else _encode_groups(table, roles.group)[order]
    fold = None if roles.fold is None else _encode_groups(table, roles.fold)[order]
    weights = None if weights is None else weights[order]
    return SplitInputs(labels, classes, groups, fold, weights, marks, names)


def _encode_groups(table: Any, name: str) -> np.ndarray:
    """Encode the values of a column as 0, 1, … in sorted order; -1 stays -1."""
    values, indices = factorize(table[name])
    texts = [format_cell(v) for v in values]
    missing = expand_to_rows([not t for t in texts], indices, bool)
    if missing.any():
        raise DataError(f"column {name!r} is missing in row {int(missing.argmax()) + 1}")
    ranked = sorted({t for t in texts if t != "-1"}, key=text_sort_key)
    code = {"-1": -1, **{t: k for k, t in enumerate(ranked)}}
    return expand_to_rows([code.get(t, -1) for t in texts], indices, np.intp)


def _read_weights(table: Any, name: str | None) -> np.ndarray | None:
    if name is None:
        return None
    fits = "It is data.weights: each row needs a finite number of at least 0."
    weights = clean_column(table, Column(name, "numeric"), fits)
    with np.errstate(over="ignore"):
        narrow: np.ndarray = weights.astype(np.float32)
    wrong = np.flatnonzero(~(np.isfinite(narrow) & (narrow >= 0)))
    if wrong.size:
        raise DataError(
            f"weights {name!r}, row {wrong[0] + 1}: {weights[wrong[0]]:g} is not a weight; give a "
            "finite number of at least 0, in the range of float32"
        )
    return narrow


def _lock_rows(
    table: Any,
    columns: np.ndarray,
    target: np.ndarray,
    weights: np.ndarray | None,
    rows: np.ndarray,
) -> LockedRows | None:
    if rows.size == 0:
        return None
    test_weights = None if weights is None else weights[rows]
    _require_positive_weight(test_weights)
    raw = None if table is None else table.take(rows)
    return LockedRows(TestRows(raw, columns, target, test_weights))


def _lock_test_source(
    source: SourceTable, schema: Schema, roles: ColumnRoles, data: DataSpec
) -> LockedRows:
    """Lock the rows of a test file; they are checked now, before anything is trained."""
    table, array = source.test_table, source.test_array
    try:
        missing = mask_missing_targets(table, roles.targets, data)
        if missing.any():
            known = np.flatnonzero(~missing)
            table, array = table.take(known), None if array is None else array[known]
        weights = _read_weights(table, roles.weights)
        _require_positive_weight(weights)
        columns = schema.clean(table if array is None else array)
        return LockedRows(TestRows(table, columns, schema.encode_target(table), weights))
    except DataError as error:
        raise DataError(f"test rows: {error}") from None


def _require_target_variation(
    target: np.ndarray, folds: Sequence[Split], names: Sequence[str]
) -> None:
    """Refuse a fold whose training rows have a constant target."""
    for number, fold in enumerate(folds):
        known = target[fold.train]
        for name, low, high in zip(names, known.min(axis=0), known.max(axis=0), strict=True):
            if low == high:
                raise DataError(
                    f"fold {number} of {len(folds)}: target {name!r} is {low:g} in all of its "
                    f"{len(known)} training rows, so there is nothing to learn: use fewer folds, "
                    "more training rows or another kind"
                )


def _require_positive_weight(weights: np.ndarray | None) -> None:
    if weights is not None and not weights.any():
        raise DataError(
            "the weights of the locked rows are all 0, so nothing could be measured on them: give "
            "some a weight, or lock no row with data.test_fraction: 0"
        )


def _note_constant_columns(schema: Schema, columns: np.ndarray) -> tuple[str, ...]:
    if schema.shape:
        return ()
    notes = []
    empty, constant = [], []
    for column, start in schema.iter_cleaned():
        values = columns[:, start : start + column.n_cleaned]
        known = values[~np.isnan(values)]
        if known.size == 0:
            empty.append(column.name)
        elif known.size == values.size and known.max() == known.min():
            constant.append(column.name)
    if schema.columns and len(empty) + len(constant) == len(schema.columns):
        raise DataError(
            "no column tells the rows apart: without a value "
            f"{', '.join(empty[:8]) or 'none'}; with one value in all rows "
            f"{', '.join(constant[:8]) or 'none'}. There is nothing to learn from."
        )
    for names, what in ((empty, "without a value"), (constant, "with one value in all rows")):
        if names:
            shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
            number = "1 column" if len(names) == 1 else f"{len(names)} columns"
            notes.append(f"{number} {what}, which the network never sees: {shown}")
    return tuple(notes)
