"""Build a `Dataset` from its declaration: read, assign roles, lock test rows, clean, split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import REPEATABLE_KINDS, CrossValidationSpec, DataSpec, Task
from .array_features import make_array_schema, reshape_source
from .batch_feed import source_from_memory
from .column_inference import infer_columns
from .column_roles import ColumnRoles, assign_roles
from .columns import Target
from .dataset import Dataset
from .dataset_checks import note_constant_columns, require_target_variation
from .fingerprint import fingerprint
from .folds import (
    GivenFolds,
    SplitInputs,
    require_pairs,
    resolve_fold_kind,
    split_outer_fold,
    split_test_rows,
    take_given_folds,
)
from .forecast_columns import DerivedTable, derive_columns
from .image_files import embed_images
from .labelled_rows import LabelledRows, make_row_window, select_labelled_rows
from .malloc import trim_heap
from .row_locking import lock_rows, lock_test_source, read_weights
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
from .split_inputs import make_split_inputs
from .windows import Windows

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
        arrays: Data in memory instead of `data.source`: (X, y), (frame, y), a frame or batches.
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
        source = source_from_memory(arrays, data, cache)
    if source.weights and data.weights is None:
        data = data.model_copy(update={"weights": source.weights})
    source = embed_images(source, data, folder, cache)
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
    """Build the data set of a source whose derived columns were added."""
    data, cv = derived.data, derived.cross_validation
    source = reshape_source(derived.source, data, cv)
    roles = assign_roles(source, data, cv)
    labelled = select_labelled_rows(source, roles, data, task)
    trim_heap()
    weights = read_weights(source.table, roles.weights)
    divided = _divide_labelled_rows(derived, source, labelled, roles, cv, weights, seed=seed)
    here, cv, split_inputs = divided.here, divided.cross_validation, divided.split_inputs
    schema, column_notes = _make_schema(source, data, roles, labelled.target, here)
    trim_heap()
    derived.require_long_folds(len(split_inputs.step_starts))
    sample = None if data.rows is None else sample_rows(split_inputs, cv, data.rows, seed=seed)
    require_pairs(given or ())
    mark = _compute_fingerprint(source, roles, given or (), sample)
    cleaned = _clean_rows(source, schema, labelled, divided, fingerprint=mark, stores=stores)
    if source.test_table is None:
        raw = source.table if stores is None else None
        test_target = labelled.encoded[divided.test]
        locked = lock_rows(raw, cleaned.locked, test_target, weights, divided.locked)
    else:
        locked = lock_test_source(source, schema, roles, data)
    if given is None:
        folds = make_sample_folds(split_inputs, cv, sample, seed=seed)
    else:
        refuse_sample_of_given_folds(data.rows)
        cv = cv.model_copy(update={"kind": "predefined"})
        folds = take_given_folds(given, here, source.table.num_rows, split_inputs)
    if cleaned.windows is not None:
        folds = cleaned.windows.purge_folds(folds)
    number = labelled.encoded[divided.development]
    if labelled.target.kind == "regression":
        require_target_variation(number, folds, labelled.target.names)
    return Dataset(
        name=source.name,
        task=labelled.target.kind,
        schema=derived.mark_schema(schema),
        scaling=data.scaling,
        fingerprint=mark,
        columns=cleaned.columns,
        stored_features=cleaned.features,
        target=number,
        weights=None if weights is None else weights[here],
        folds=folds,
        split_inputs=split_inputs,
        cross_validation=cv,
        locked_rows=locked,
        rows=here,
        windows=cleaned.windows,
        sample=sample,
        versions=source.versions,
        inputs=source.inputs,
        notes=(
            *source.notes,
            *labelled.notes,
            *column_notes,
            *describe_sample(sample, len(here)),
            *note_constant_columns(schema, cleaned.columns),
        ),
    )


@dataclass(frozen=True, slots=True)
class _DividedRows:
    """The labelled rows, divided into development and locked rows."""

    development: np.ndarray  # indices of labelled rows
    test: np.ndarray  # likewise
    here: np.ndarray  # the indices of the development rows in the table
    locked: np.ndarray  # those of the test rows
    split_inputs: SplitInputs  # of the development rows
    cross_validation: CrossValidationSpec
    windows: Windows | None


def _divide_labelled_rows(
    derived: DerivedTable,
    source: SourceTable,
    labelled: LabelledRows,
    roles: ColumnRoles,
    cv: CrossValidationSpec,
    weights: np.ndarray | None,
    *,
    seed: int,
) -> _DividedRows:
    """Divide the labelled rows; rows whose window overlaps a test row's are left out."""
    order, windows = labelled.order, labelled.windows
    rows = make_split_inputs(
        source.table, order, roles, labelled.target, labelled.encoded, cv, weights
    )
    if derived.times is not None and windows is not None and roles.group is None:
        rows = replace(rows, time_steps=derived.times.steps[order])
        windows = derived.add_times(windows, order)
    cv = cv.model_copy(update={"kind": resolve_fold_kind(cv, rows)})
    development, test = _split_off_test(source, derived.data, rows, cv, seed)
    if windows is not None:
        development = development[~windows.mask_overlapping(development, test)]
    return _DividedRows(
        development, test, order[development], order[test], rows.take(development), cv, windows
    )


@dataclass(frozen=True, slots=True)
class _CleanedRows:
    """The cleaned columns of development and locked rows."""

    columns: np.ndarray
    locked: np.ndarray
    windows: Windows | None = None  # of the development rows
    features: np.ndarray | None = None  # of rows in a store


def _clean_rows(
    source: SourceTable,
    schema: Schema,
    labelled: LabelledRows,
    divided: _DividedRows,
    *,
    fingerprint: str,
    stores: Path | None,
) -> _CleanedRows:
    """Clean the rows; a whole cleaned table, the largest array, is freed on return."""
    here, locked = divided.here, divided.locked
    if stores is not None:
        stored = store_rows(
            schema, source.table, here, locked, fingerprint=fingerprint, folder=stores
        )
        return _CleanedRows(stored.columns, stored.locked, divided.windows, stored.features)
    if divided.windows is None:
        return _CleanedRows(*_divide_rows(schema, source.rows, here, locked))
    cleaned = schema.clean(source.rows)[labelled.in_time]
    return _CleanedRows(
        *_divide_windows(cleaned, divided.windows, divided.development, divided.test)
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
    schema = make_array_schema(source.array, target, data) or Schema(
        inferred, target, window=make_row_window(data), layout=source.layout
    )
    return schema, notes


def _divide_rows(
    schema: Schema, rows: Any, here: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Clean development and test rows."""
    if not schema.shape:
        development, locked = schema.clean_parts(rows, [here, test])
        return development, locked
    cleaned = schema.clean(rows)
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
