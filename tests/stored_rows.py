"""Compare a dataset whose rows are on the disk with the one of the same rows in memory."""

import pickle

import numpy as np

from hpsearch.data import Dataset


def assert_same_rows_on_disk(in_memory: Dataset, on_disk: Dataset) -> None:
    """Columns, folds, statistics and locked rows are equal bit for bit."""
    assert (False, True) == (in_memory.on_disk, on_disk.on_disk)
    assert (in_memory.schema, in_memory.fingerprint) == (on_disk.schema, on_disk.fingerprint)
    assert in_memory.notes == on_disk.notes[1:]
    for name in ("columns", "features", "target", "rows"):
        np.testing.assert_array_equal(getattr(in_memory, name), getattr(on_disk, name), name)
    for one, other in zip(in_memory.folds, on_disk.folds, strict=True):
        np.testing.assert_array_equal(one.train, other.train)
        np.testing.assert_array_equal(one.validation, other.validation)
        expected, found = (data.statistics(one.train) for data in (in_memory, on_disk))
        assert pickle.dumps(expected) == pickle.dumps(found)
    locked, stored = in_memory.locked_rows.read(), on_disk.locked_rows.read()
    np.testing.assert_array_equal(locked.columns, stored.columns)
    np.testing.assert_array_equal(locked.target, stored.target)
