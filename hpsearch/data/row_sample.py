"""Sample the development rows on which a search runs (`data.rows`).

The sample follows the kind of the folds as the locked rows do: stratified, whole groups, or the
last in time. Its indices are those of the development rows, all of which the final fit uses.
"""

from __future__ import annotations

import numpy as np

from ..errors import DataError
from ..spec.data_spec import GROUPED_KINDS, CrossValidationSpec
from ..trial import derive_seed
from .folds import SplitInputs, make_folds, resolve_fold_kind, split_test_rows
from .split import Split


def sample_rows(
    rows: SplitInputs, cv: CrossValidationSpec, n_rows: int, *, seed: int
) -> np.ndarray | None:
    """Sample about `n_rows` of the development rows; None: there are no more.

    Args:
        rows: The development rows.
        cv: The folds, which determine the kind of the sample.
        n_rows: The size of the sample; whole groups may hold fewer rows.
        seed: The study's seed.

    Returns:
        Sorted indices of development rows.

    Raises:
        DataError: If the rows are in fewer than three groups.
    """
    total = len(rows.labels)
    if n_rows > total - 2:
        return None
    seed = derive_seed(seed, "sample")
    is_grouped = resolve_fold_kind(cv, rows) in GROUPED_KINDS
    try:
        if is_grouped and n_rows > total / 2:  # the groups to leave out are the smaller part
            return split_test_rows(rows, cv, fraction=1 - n_rows / total, seed=seed)[0]
        return split_test_rows(rows, cv, fraction=(n_rows - 0.5) / total, seed=seed)[1]
    except DataError:
        if not is_grouped:
            raise
        raise DataError("data.rows samples whole groups, of which there must be three") from None


def make_sample_folds(
    rows: SplitInputs, cv: CrossValidationSpec, sample: np.ndarray | None, *, seed: int
) -> tuple[Split, ...]:
    """Make the folds of the sampled rows, as indices of all development rows."""
    if sample is None:
        return make_folds(rows, cv, seed=seed)
    folds = make_folds(rows.take(sample), cv, seed=seed)
    return tuple(Split(sample[fold.train], sample[fold.validation]) for fold in folds)


def describe_sample(sample: np.ndarray | None, n_rows: int) -> tuple[str, ...]:
    """Describe the sample of `n_rows` development rows in a note, if there is one."""
    if sample is None:
        return ()
    return (
        f"data.rows: the search uses {len(sample):,} of {n_rows:,} development rows; the final fit "
        "uses all",
    )


def refuse_sample_of_given_folds(n_rows: int | None) -> None:
    """Refuse `data.rows` if the folds are given as indices.

    Raises:
        DataError: If it is declared.
    """
    if n_rows is not None:
        raise DataError("data.rows and given folds exclude each other: leave rows out of the folds")
