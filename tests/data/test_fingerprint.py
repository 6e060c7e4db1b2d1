"""The fingerprint changes with every cell, name and type, and with nothing else."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.data.fingerprint import fingerprint

TABLE = pa.table(
    {
        "a": pa.array([1, 2, None, 4], pa.int64()),
        "b": pa.array([0.5, None, -1.0, 2.0]),
        "c": pa.array(["x", "", None, "yz"]),
        "d": pa.array([True, None, False, True]),
        "e": pa.array([0, 1, None, 3], pa.date32()),
        "f": pa.array([0, 1, 2, None], pa.timestamp("ms")),
    }
)
CHANGED = {
    "a": pa.array([1, 2, 0, 4], pa.int64()),
    "b": pa.array([0.5, 0.0, -1.0, 2.0]),
    "c": pa.array(["x", "", "", "yz"]),
    "d": pa.array([True, False, False, True]),
    "e": pa.array([0, 1, 2, 3], pa.date32()),
    "f": pa.array([0, 1, 2, 3], pa.timestamp("ms")),
}


@pytest.mark.parametrize("name", CHANGED)
def test_every_missing_cell_counts(name):
    at = TABLE.column_names.index(name)
    assert fingerprint([TABLE]) != fingerprint([TABLE.set_column(at, name, CHANGED[name])])


def test_place_of_a_missing_cell_counts():
    one, two = (pa.table({"a": cells}) for cells in ([1, None, 2], [None, 1, 2]))
    assert fingerprint([one]) != fingerprint([two])


def test_names_order_and_types_count():
    others = [
        TABLE.rename_columns(["A", "b", "c", "d", "e", "f"]),
        TABLE.select(["b", "a", "c", "d", "e", "f"]),
        TABLE.set_column(0, "a", TABLE["a"].cast(pa.int32())),
        TABLE.take([1, 0, 2, 3]),
        TABLE.slice(0, 3),
    ]
    prints = {fingerprint([t]) for t in (TABLE, *others)}
    assert 1 + len(others) == len(prints)
    assert fingerprint([TABLE, TABLE]) != fingerprint([TABLE])


@given(st.lists(st.integers(0, 4), max_size=4))
@settings(max_examples=40, deadline=None)
def test_chunks_and_slices_do_not_count(cuts):
    edges = [0, *sorted(cuts), 4]
    padded = pa.concat_tables([TABLE.take([3]), TABLE, TABLE.take([0])]).slice(1, 4)
    pieces = [padded.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    assert fingerprint([TABLE]) == fingerprint([pa.concat_tables(pieces)])


@given(st.integers(0, 299), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_one_bit_of_one_cell_counts(row, column):
    numbers = np.random.default_rng(0).normal(size=(300, 4))
    names = list("abcd")
    before = fingerprint([pa.table(list(numbers.T), names=names)])
    numbers[row, column] = np.nextafter(numbers[row, column], np.inf)
    assert before != fingerprint([pa.table(list(numbers.T), names=names)])
