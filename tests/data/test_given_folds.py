"""Folds given as row indices, instead of `cross_validation`."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import RepeatedKFold

from hpsearch.data import load
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

X = np.arange(80.0).reshape(40, 2)
Y = np.arange(40) % 2


def read(folds, x=X, y=Y, **data):
    return load(
        DataSpec(**{"test_fraction": 0.0, **data}),
        task="binary",
        cross_validation=None,
        seed=0,
        folder=Path(),
        arrays=(x, y),
        given_folds=folds,
    )


def test_overlapping_folds_are_taken_as_they_are_and_are_not_drawn_anew():
    given = list(RepeatedKFold(n_splits=2, n_repeats=2, random_state=0).split(X))
    dataset = read(given)
    assert ("predefined", 4) == (dataset.kind, len(dataset.folds))
    for (train, validation), fold in zip(given, dataset.folds, strict=True):
        np.testing.assert_array_equal(train, fold.train)
        np.testing.assert_array_equal(validation, fold.validation)
    assert dataset.folds == dataset.redraw_folds(1)


def test_masks_are_indices_and_other_folds_are_other_data():
    half = np.arange(40) < 20
    masks, indices = read([(half, ~half)]), read([(np.arange(20), np.arange(20, 40))])
    np.testing.assert_array_equal(masks.folds[0].train, indices.folds[0].train)
    others = read([(~half, half)])
    assert 3 == len({read(None).fingerprint, indices.fingerprint, others.fingerprint})


def test_rows_that_are_locked_or_left_out_drop_out_of_the_folds():
    y = np.where(np.arange(40) < 4, np.nan, Y)
    half = np.arange(40) < 20
    dataset = read([(half, ~half)], y=y, missing_target="drop", test_fraction=0.25)
    [fold] = dataset.folds
    assert 36 - len(dataset.locked_rows) == len(fold.train) + len(fold.validation)
    assert dataset.rows[fold.train].max() < 20 <= dataset.rows[fold.validation].min()


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([], "folds: there is none"),
        ([1, 2], r"folds\[0\]: give \(training, validation\)\. Received: 1"),
        ([(np.arange(30), np.arange(20, 40))], r"folds\[0\]: 10 rows are for training and valid"),
        ([(np.arange(30), np.arange(30, 41))], r"folds\[0\]: give .* from 0 to 39"),
        ([(np.arange(30), np.array([0.5]))], r"folds\[0\]: give "),
        ([(np.arange(0, 40, 2), np.arange(1, 40, 2))], "would miss a class among its training"),
        ([(np.arange(40), [])], "has no validation rows"),
    ],
)
def test_folds_that_cannot_be_are_refused(folds, message):
    with pytest.raises(DataError, match=message):
        read(folds)
