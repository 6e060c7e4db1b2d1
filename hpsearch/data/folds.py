"""Split rows into locked test rows and development rows, and these into folds.

Takes labels and groups, returns indices. A split that would leave a fold without a class, a
group or a row is refused with the counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import GROUPED_KINDS, CrossValidationSpec, FoldKind, OuterFoldSpec
from ..trial import derive_seed
from .split import Split

MAX_BINS = 10  # quantiles by which a regression is stratified


# Training and validation rows of each fold, indices or masks of the source's rows.
GivenFolds = Sequence[tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class SplitInputs:
    """The inputs of a split, in the order of the rows."""

    labels: np.ndarray  # (n_rows,) int: the class, or the quantile bin of a regression
    classes: tuple[str, ...]  # label names; empty in a regression
    groups: np.ndarray | None = None  # (n_rows,) int
    predefined_folds: np.ndarray | None = None  # (n_rows,) int, fold of a validation row; -1: none
    weights: np.ndarray | None = None  # (n_rows,) sample weights
    label_marks: np.ndarray | None = None  # (n_rows, n_labels) bool of a multilabel task
    label_names: tuple[str, ...] = ()  # names of its labels
    time_steps: np.ndarray | None = None  # (n_rows,) int, ascending; None: each row is a step

    def take(self, rows: np.ndarray) -> SplitInputs:
        """Select some rows."""
        groups, predefined, weights, marks, steps = (
            None if every is None else every[rows]
            for every in (
                *(self.groups, self.predefined_folds, self.weights, self.label_marks),
                self.time_steps,
            )
        )
        labels = self.labels[rows]
        return SplitInputs(
            labels, self.classes, groups, predefined, weights, marks, self.label_names, steps
        )

    @property
    def step_starts(self) -> np.ndarray:
        """The first row of each time step."""
        if self.time_steps is None:
            return np.arange(len(self.labels))
        return np.unique(self.time_steps, return_index=True)[1]

    @property
    def has_classes(self) -> bool:
        """Whether rows have classes or labels, whose shares stratified splits preserve."""
        return bool(self.classes) or self.label_marks is not None


def assign_quantile_bins(numbers: np.ndarray, folds: int) -> np.ndarray:
    """Assign each of (n_rows,) numbers to a quantile bin of at least `folds` rows."""
    bins = int(np.clip(len(numbers) // (2 * folds), 1, MAX_BINS))
    edges: list[float] = []
    below = 0  # rows up to the last edge; ties can leave a bin nearly empty
    for edge in np.quantile(numbers, np.linspace(0, 1, bins + 1)[1:-1]):
        count = int((numbers <= edge).sum())
        if count - below >= folds and len(numbers) - count >= folds:
            edges.append(edge)
            below = count
    return np.searchsorted(edges, numbers, side="left")


def encode_label_combinations(marks: np.ndarray) -> np.ndarray:
    """Encode each row's combination of labels, ordered so that rows of a label are adjacent.

    Dealt to folds in this order, the rarest label's counts per fold differ by one at most, and
    the others' by a few.

    Args:
        marks: (n_rows, n_labels) bool.
    """
    rarest_first = np.argsort(marks.sum(axis=0), kind="stable")
    return np.unique(marks[:, rarest_first], axis=0, return_inverse=True)[1].reshape(-1)


def resolve_fold_kind(cv: CrossValidationSpec, rows: SplitInputs) -> FoldKind:
    """Return the declared kind, or the default of the task."""
    return cv.kind or ("stratified" if rows.has_classes else "kfold")


def split_test_rows(
    rows: SplitInputs, cv: CrossValidationSpec, *, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split off the locked test rows; returns development and test indices, each sorted.

    The test rows follow the kind of the folds: the last in time, whole groups, or stratified.

    Raises:
        DataError: If there are too few rows or groups for the fraction.
    """
    n_rows = len(rows.labels)
    everything = np.arange(n_rows)
    if fraction == 0:
        return everything, everything[:0]
    kind = resolve_fold_kind(cv, rows)
    seed = derive_seed(seed, "test")
    if kind in GROUPED_KINDS:
        test = _sample_groups(rows, kind, fraction, seed)
    elif kind == "time_series" or not cv.shuffle:
        first = n_rows - _count_fraction(n_rows, fraction)
        starts = rows.step_starts
        test = everything[starts[np.searchsorted(starts, first, side="right") - 1] :]
    else:
        # Classes are always stratified; a regression's quantiles only if the folds are.
        by = rows.labels if rows.has_classes or kind == "stratified" else np.zeros(n_rows, int)
        test = _sample_stratified(by, fraction, seed)
    if n_rows - test.size < 2:
        raise DataError(f"test_fraction: {fraction:g} of {n_rows} rows leaves {n_rows - test.size}")
    return _find_other_rows(n_rows, test), test


def split_outer_fold(
    rows: SplitInputs, cv: CrossValidationSpec, outer: OuterFoldSpec, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split off one outer fold as locked rows; returns both indices, each sorted.

    Outer folds are of the inner folds' kind; for leave_one_group_out and holdout they are group
    folds and folds of the task's default kind.

    Raises:
        DataError: If the inner folds are predefined, or there are too few rows for the outer ones.
    """
    kind = resolve_fold_kind(cv, rows)
    if kind == "predefined":
        raise DataError(
            f"cross_validation.column {cv.column!r} defines the inner folds and no outer ones: "
            "nested cross-validation needs another kind"
        )
    usual: FoldKind = "stratified" if rows.has_classes else "kfold"
    instead: dict[FoldKind, FoldKind] = {"leave_one_group_out": "group", "holdout": usual}
    made = cv.model_copy(
        update={"kind": instead.get(kind, kind), "folds": outer.folds, "repeats": 1}
    )
    try:
        split = make_folds(rows, made, seed=derive_seed(seed, "outer"))[outer.fold - 1]
    except DataError as error:
        raise DataError(f"{outer.folds} outer folds: {error}") from None
    return split.train, split.validation


def make_folds(rows: SplitInputs, cv: CrossValidationSpec, *, seed: int) -> tuple[Split, ...]:
    """Make the folds of the development rows.

    Raises:
        DataError: If there are more folds than rows, groups or rows of a class, or if a fold's
            training or validation rows would miss a class.
    """
    kind = resolve_fold_kind(cv, rows)
    _require_enough_rows(rows, cv, kind)
    seeds = [derive_seed(seed, "folds", repeat) for repeat in range(cv.repeats)]
    if kind == "time_series":
        folds = _make_time_series_splits(rows, cv)
    elif kind == "holdout":
        folds = [f for s in seeds for f in _make_holdout_split(rows, cv, s)]
    else:
        folds = [f for s in seeds for f in _make_splits(_assign_folds(rows, cv, kind, s))]
    _require_every_class(rows, folds)
    return tuple(folds)


def require_pairs(given: GivenFolds) -> None:
    """Refuse given folds that are no pairs of training and validation rows."""
    for number, parts in enumerate(given):
        if not isinstance(parts, list | tuple) or len(parts) != 2:
            raise DataError(f"folds[{number}]: give (training, validation). Received: {parts!r}")


def take_given_folds(
    given: GivenFolds, here: np.ndarray, n_rows: int, rows: SplitInputs
) -> tuple[Split, ...]:
    """Convert folds given as indices of the source's rows to folds of the development rows.

    Args:
        given: Training and validation rows of each fold; rows that are locked or were left out
            drop out of them.
        here: The development rows in the source, (n_development,).
        n_rows: Rows of the source.
        rows: The development rows.

    Raises:
        DataError: If a fold names a row that there is not, trains on rows that it validates, or
            lacks a class.
    """
    index = np.full(n_rows, -1)
    index[here] = np.arange(len(here))
    folds = []
    for number, parts in enumerate(given):
        train, validation = (_check_indices(part, n_rows, number) for part in parts)
        if both := np.intersect1d(train, validation).size:
            raise DataError(f"folds[{number}]: {both} rows are for training and validation")
        train, validation = index[train], index[validation]
        folds.append(Split(train[train >= 0], validation[validation >= 0]))
    if not folds:
        raise DataError("folds: there is none")
    _require_every_class(rows, folds)
    return tuple(folds)


def _check_indices(part: object, n_rows: int, number: int) -> np.ndarray:
    indices = np.asarray(part)
    if indices.dtype == bool and indices.shape == (n_rows,):
        return np.flatnonzero(indices)
    is_valid = indices.ndim == 1 and (indices.size == 0 or indices.dtype.kind in "iu")
    if not is_valid or (indices.size and not -1 < indices.min() <= indices.max() < n_rows):
        raise DataError(
            f"folds[{number}]: give (training, validation), each as indices of rows from 0 to "
            f"{n_rows - 1}"
        )
    return indices.astype(np.intp)


def _count_fraction(n_rows: int, fraction: float) -> int:
    return int(np.ceil(n_rows * fraction))


def _find_other_rows(n_rows: int, rows: np.ndarray) -> np.ndarray:
    """Return the complement of these rows, sorted."""
    is_other = np.ones(n_rows, bool)
    is_other[rows] = False
    return np.flatnonzero(is_other)


def _sort_by_label(labels: np.ndarray, seed: int | None) -> np.ndarray:
    """Sort rows by label, in random order within a label; without a seed, in row order."""
    rows = np.arange(len(labels))
    if seed is not None:
        rows = np.random.default_rng(seed).permutation(rows)
    return rows[np.argsort(labels[rows], kind="stable")]


def _sample_stratified(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Sample a `fraction` of the rows, each label's share exact to one row; sorted."""
    order = _sort_by_label(labels, seed)
    wanted = _count_fraction(len(labels), fraction)
    positions = ((np.arange(wanted) + 0.5) * len(labels) / wanted).astype(np.intp)
    return np.sort(order[positions])


def _sample_groups(rows: SplitInputs, kind: FoldKind, fraction: float, seed: int) -> np.ndarray:
    """Sample whole groups that hold about `fraction` of the rows; sorted."""
    assert rows.groups is not None
    _, group_of, sizes = np.unique(rows.groups, return_inverse=True, return_counts=True)
    if len(sizes) < 3:
        raise DataError(f"test_fraction takes whole groups away, but there are {len(sizes)} groups")
    wanted = _count_fraction(len(rows.labels), fraction)
    if kind == "stratified_group":
        parts = int(np.clip(round(1 / fraction), 2, len(sizes)))
        part_of = _assign_stratified_groups(rows, parts, seed)
        return np.flatnonzero(part_of == np.abs(np.bincount(part_of) - wanted).argmin())
    chosen: list[int] = []
    for group in np.random.default_rng(seed).permutation(len(sizes)):
        if sizes[[*chosen, group]].sum() <= wanted:
            chosen.append(group)
    return np.flatnonzero(np.isin(group_of, chosen or [sizes.argmin()]))


def _assign_folds(
    rows: SplitInputs, cv: CrossValidationSpec, kind: FoldKind, seed: int
) -> np.ndarray:
    """Assign each row the fold that it validates, (n_rows,); -1: none."""
    random = seed if cv.shuffle else None
    n_rows = len(rows.labels)
    if kind == "predefined":
        assert rows.predefined_folds is not None
        return rows.predefined_folds
    if kind == "leave_one_group_out":
        assert rows.groups is not None
        return np.unique(rows.groups, return_inverse=True)[1]
    if kind == "group":
        assert rows.groups is not None
        return _assign_balanced_groups(rows.groups, cv.folds, random)
    if kind == "stratified_group":
        return _assign_stratified_groups(rows, cv.folds, random)
    if kind == "kfold" and not cv.shuffle:
        return np.arange(n_rows) * cv.folds // n_rows
    # Rows are dealt round-robin, label by label: fold sizes differ by one row at most, in total
    # and per label.
    labels = rows.labels if kind == "stratified" else np.zeros(n_rows, int)
    fold_of = np.empty(n_rows, np.intp)
    fold_of[_sort_by_label(labels, random)] = np.arange(n_rows) % cv.folds
    return fold_of


def _assign_balanced_groups(groups: np.ndarray, folds: int, seed: int | None) -> np.ndarray:
    """Assign groups to folds, largest first, each to the fold with the fewest rows."""
    _, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    fold_of = np.empty(len(sizes), np.intp)
    rows = np.zeros(folds, np.int64)
    for group in _sort_by_label(-sizes, seed):
        fold_of[group] = rows.argmin()
        rows[fold_of[group]] += sizes[group]
    return fold_of[group_of]


def _assign_stratified_groups(rows: SplitInputs, folds: int, seed: int | None) -> np.ndarray:
    """Assign groups to folds with scikit-learn's StratifiedGroupKFold."""
    from sklearn.model_selection import StratifiedGroupKFold  # takes seconds to import

    fold_of = np.empty(len(rows.labels), np.intp)
    splitter = StratifiedGroupKFold(folds, shuffle=seed is not None, random_state=seed)
    try:
        for fold, (_, held) in enumerate(splitter.split(rows.labels, rows.labels, rows.groups)):
            fold_of[held] = fold
    except ValueError as error:
        raise DataError(f"cross_validation: {error}") from None
    if len(np.unique(fold_of)) < folds:
        raise DataError(f"the groups are too uneven for {folds} parts: use fewer folds")
    return fold_of


def _make_splits(fold_of: np.ndarray) -> list[Split]:
    return [
        Split(np.flatnonzero(fold_of != k), np.flatnonzero(fold_of == k))
        for k in np.unique(fold_of[fold_of >= 0])
    ]


def _make_holdout_split(rows: SplitInputs, cv: CrossValidationSpec, seed: int) -> list[Split]:
    n_rows = len(rows.labels)
    labels = rows.labels if rows.has_classes else np.zeros(n_rows, int)
    last = np.arange(n_rows)[-_count_fraction(n_rows, cv.fraction) :]
    held = _sample_stratified(labels, cv.fraction, seed) if cv.shuffle else last
    return [Split(_find_other_rows(n_rows, held), held)]


def count_validation_steps(n_steps: int, cv: CrossValidationSpec) -> int:
    """Count the validation steps of each fold of a time series of `n_steps`."""
    return cv.validation_rows or n_steps // (cv.folds + 1)


def _make_time_series_splits(rows: SplitInputs, cv: CrossValidationSpec) -> list[Split]:
    """Make expanding windows as scikit-learn's TimeSeriesSplit does.

    They are counted in time steps, of which a forecast of several series has several rows.
    """
    starts = rows.step_starts
    n_steps = len(starts)
    edges = np.append(starts, len(rows.labels))
    size = count_validation_steps(n_steps, cv)
    what = "rows" if rows.time_steps is None else "time steps"
    folds = []
    for first in range(n_steps - cv.folds * size, n_steps, size):
        end = first - cv.gap
        begin = 0 if cv.window is None else max(0, end - cv.window)
        if end <= begin:
            raise DataError(
                f"{cv.folds} folds of {size} validation {what} and a gap of {cv.gap} leave no "
                f"training rows to the first of them: there are {n_steps} development {what}"
            )
        train = np.arange(edges[begin], edges[end])
        folds.append(Split(train, np.arange(edges[first], edges[first + size])))
    return folds


def _require_enough_rows(rows: SplitInputs, cv: CrossValidationSpec, kind: FoldKind) -> None:
    n_rows = len(rows.labels)
    if kind == "predefined":
        if rows.predefined_folds is not None and len(
            np.unique(rows.predefined_folds[rows.predefined_folds >= 0])
        ):
            return
        raise DataError(f"cross_validation.column {cv.column!r} assigns no row to a fold")
    if kind in GROUPED_KINDS:
        assert rows.groups is not None
        n_groups = len(np.unique(rows.groups))
        needed = 2 if kind == "leave_one_group_out" else cv.folds
        if n_groups < needed:
            raise DataError(f"{needed} folds, but {cv.group!r} has {n_groups} groups")
    elif kind != "holdout" and n_rows < cv.folds + (kind == "time_series"):
        raise DataError(f"{cv.folds} folds, but {n_rows} development rows")
    if kind == "stratified" and rows.classes:
        _require_rows_per_class(rows, cv.folds)


def _require_rows_per_class(rows: SplitInputs, folds: int) -> None:
    counts = np.bincount(rows.labels, minlength=len(rows.classes))
    few = [f"{c!r} has {n}" for c, n in zip(rows.classes, counts, strict=True) if n < folds]
    if few:
        remedies = ["add rows"]
        if len(counts) > 2:
            remedies.insert(0, "join classes with data.columns.TARGET.replace")
        if counts.min() > 1:
            remedies.insert(0, f"set cross_validation.folds: {counts.min()}")
        raise DataError(
            f"every class needs at least {folds} development rows for {folds} stratified folds; "
            f"class {', '.join(few[:8])}{', …' if len(few) > 8 else ''}: {', or '.join(remedies)}"
        )


def _require_every_class(rows: SplitInputs, folds: Sequence[Split]) -> None:
    for number, fold in enumerate(folds):
        for role, part in (("training", fold.train), ("validation", fold.validation)):
            if part.size == 0:
                raise DataError(f"fold {number} of {len(folds)} has no {role} rows")
            if rows.weights is not None:
                part = part[rows.weights[part] > 0]
            if part.size == 0:
                raise DataError(
                    f"fold {number} of {len(folds)}: the weights of its {role} rows are all 0, so "
                    "none of them counts: give some a weight, or use fewer folds"
                )
            if rows.label_marks is not None:
                _require_every_label(rows, part, f"fold {number} of {len(folds)}", role)
            counts = np.bincount(rows.labels[part], minlength=len(rows.classes))
            if not rows.classes or counts.all():
                continue
            listed = ", ".join(f"{c!r} {n}" for c, n in zip(rows.classes, counts, strict=True))
            raise DataError(
                f"fold {number} of {len(folds)} would miss a class among its {role} rows "
                f"({listed}): use fewer folds, a stratified kind, or merge rare classes with "
                "data.columns.TARGET.replace"
            )


def _require_every_label(rows: SplitInputs, part: np.ndarray, fold: str, role: str) -> None:
    """Refuse rows in which a label never occurs, or always does."""
    assert rows.label_marks is not None
    counts = rows.label_marks[part].sum(axis=0)
    wrong = [
        f"{name!r} is in {n} of {part.size} rows"
        for name, n in zip(rows.label_names, counts, strict=True)
        if n in (0, part.size)
    ]
    if wrong:
        raise DataError(
            f"{fold} could not tell the labels apart by its {role} rows ({'; '.join(wrong[:8])}): "
            "use fewer folds, kind: stratified, or leave rare labels out of data.target"
        )
