"""Batches as `fit` takes them: every feed gives the rows of the arrays behind it."""

import numpy as np
import pandas as pd
import pytest

from hpsearch.data import endless_feed
from hpsearch.data.batch_feed import to_named_rows
from hpsearch.errors import DataError

N = 60


class Feed:
    """Batches that can be read again, as torch's DataLoader gives them."""

    def __init__(self, *batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)

    def __len__(self):
        return len(self.batches)


class UncountedFeed(Feed):
    def __len__(self):
        raise TypeError("unknown")


class EndlessFeed(UncountedFeed):
    def __iter__(self):
        while True:
            yield from self.batches


def numbers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 3)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(np.int64)


def split(*arrays, size=16):
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(arrays[0]), size)]


def named(x):
    texts = np.array([b"yes please", "größe".encode()], object)[np.arange(len(x)) % 2]
    return {"pair": x[:, :2], "age": x[:, 2], "note": texts}


def require_equal(expected, found):
    assert expected.schema == found.schema
    assert expected.fingerprint == found.fingerprint
    np.testing.assert_array_equal(expected.columns, found.columns)
    np.testing.assert_array_equal(expected.target, found.target)


def test_batches_give_the_rows_of_their_arrays(load_memory):
    import keras
    import tensorflow as tf

    x, y = numbers()

    class Rows(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return split(x, y)[index]

    expected = load_memory((x, y))
    pairs = tf.data.Dataset.from_tensor_slices((x, y))
    feeds = (
        *(Feed(*split(x, y)), Rows(), pairs, pairs.batch(7)),
        pairs.batch(7).filter(lambda x, y: True),  # whose length is unknown
    )
    for feed in feeds:
        require_equal(expected, load_memory(feed))
    images = np.arange(N * 16).reshape(N, 4, 4) % 200
    require_equal(load_memory((images, y)), load_memory(Feed(*split(images, y))))


def test_named_inputs_and_weights_become_columns(load_memory):
    x, y = numbers()
    weights = np.linspace(1, 2, N)
    batches = [(named(a), b, w) for a, b, w in split(x, y, weights)]
    found = load_memory(Feed(*batches), columns={"note": {"kind": "text"}})
    assert {"pair": ("pair[0]", "pair[1]")} == found.inputs
    assert ["pair[0]", "pair[1]", "age", "note"] == [c.name for c in found.schema.columns]
    np.testing.assert_array_equal(weights.astype(np.float32)[found.rows], found.weights)
    as_dicts = [{**named(a), "label": b} for a, b in split(x, y)]
    found = load_memory(Feed(*as_dicts), target="label", columns={"note": {"kind": "text"}})
    assert ("label",) == found.schema.target.names
    assert found.weights is None


def test_grain_gives_the_same_rows(load_memory):
    grain = pytest.importorskip("grain", reason="grain is not installed: pip install grain")
    x, y = numbers()
    rows = grain.MapDataset.source(np.arange(N)).map(lambda i: (x[i], y[i]))
    batches = rows.batch(16)
    expected = load_memory((x, y))
    for feed in (rows, batches, batches.to_iter_dataset()):
        require_equal(expected, load_memory(feed))
    shuffled = load_memory(rows.shuffle(seed=1).batch(16))
    require_equal(shuffled, load_memory(rows.shuffle(seed=1).batch(16)))
    with pytest.raises(DataError, match=r"it is infinite: remove repeat\(\)"):
        load_memory(rows.repeat().batch(4))


def test_rows_that_are_shuffled_at_each_reading_are_sorted(load_memory):
    import tensorflow as tf

    x, y = numbers()
    shuffled = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(N).batch(8)
    first, again = load_memory(shuffled), load_memory(shuffled)
    require_equal(first, again)
    assert any("sorted by their contents" in note for note in first.notes)


def test_rows_that_exceed_the_memory_are_mapped(load_memory, tmp_path):
    x, y = numbers()
    found = load_memory(Feed(*split(x, y)), cache=tmp_path / "cache", memory_gib=1e-6)
    expected = load_memory((x, y))
    assert found.on_disk
    assert expected.fingerprint == found.fingerprint
    np.testing.assert_array_equal(expected.columns, found.columns)
    endless = EndlessFeed(*split(x, y))
    with pytest.raises(DataError, match=r"first 92 rows need .* not known where they end"):
        load_memory(endless, cache=tmp_path / "cache", memory_gib=5e-6)


def test_batches_that_begin_again_are_refused_after_a_window_of_rows(load_memory):
    x, y = numbers()
    endless = EndlessFeed(*split(x, y, size=7))
    with pytest.raises(DataError, match="the rows repeat after 60, so it may not end: remove"):
        load_memory(endless)
    rows = np.repeat(np.arange(40.0), 50)[:, None]
    finite = UncountedFeed(*split(np.tile(rows, (2, 1)), np.tile(rows[:, 0] > 20, 2), size=100))
    assert 3200 == len(load_memory(finite).rows)  # of 4,000; the others are locked


def test_batches_of_unknown_number_have_a_limit_of_rows(load_memory, monkeypatch):
    monkeypatch.setattr(endless_feed, "MAX_ROWS", 50)
    x, y = numbers()
    with pytest.raises(DataError, match="more than 50 rows, so it may not end: remove repeat"):
        load_memory(UncountedFeed(*split(x, y)))
    assert len(load_memory(Feed(*split(x, y))).rows)


X, Y = numbers()


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "there are no rows"),
        ([X], "batch 1 is a ndarray: give"),
        ([(X, Y, Y, Y)], "batch 1 is 4 parts: give"),
        ([{"a": X[:, 0], "b": Y}], "batch 1 is a dict of a, b: declare data.target"),
        ([(X, Y), (X[:, :2], Y)], r"batch 2: x has rows of shape \(2,\), those of batch 1"),
        ([(X, Y), (X[:5], Y[:4])], "batch 2: the numbers of rows differ: x 5, y 4"),
        ([(X, Y), (X.astype(str), Y)], "batch 2: x has another type than in batch 1"),
        ([({"a": X}, Y), ({"b": X}, Y)], r"batch 2 has x\.b, y; batch 1 has x\.a, y"),
        ([([[1], [2, 3]], Y[:2])], "batch 1: x is a list that is no dense array: pad"),
        ([({"a": X, "b": X[:, None]}, Y)], r"b has rows of shape \(1, 3\): beside other inputs"),
        ([(np.array([b"\xff", b"a"], object), Y[:2])], "batch 1: x holds bytes that are not UTF-8"),
        ([({"target": X[:, 0]}, Y)], "column 'target' occurs twice"),
    ],
)
def test_a_wrong_batch_is_named(batches, message, load_memory):
    with pytest.raises(DataError, match=message):
        load_memory(Feed(*batches))


def test_a_feed_that_raises_or_is_used_up_is_refused(load_memory):
    with pytest.raises(DataError, match="batch 2: it raised IndexError: disk is full"):
        load_memory(RaisingFeed((X, Y)))
    with pytest.raises(DataError, match="a generator can be read only once"):
        load_memory(batch for batch in split(X, Y))


class RaisingFeed(Feed):
    def __iter__(self):
        yield from self.batches
        raise IndexError("disk is full")


def test_what_fit_takes_is_read_as_one_batch(load_memory):
    """Named inputs, each a group of columns, and sample weights."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    given = {"wide": rng.normal(size=(40, 2)), "age": rng.normal(size=40)}
    weights = np.linspace(0.5, 1, 40)
    dataset = load_memory((given, y, weights), task="binary", test_fraction=0.0)
    assert {"wide": ("wide[0]", "wide[1]")} == dict(dataset.inputs)
    assert {"wide[0]", "wide[1]", "age"} == {c.name for c in dataset.schema.columns}
    np.testing.assert_allclose(weights, dataset.weights, rtol=1e-6)
    rows = load_memory((np.ones((40, 1)) * y[:, None], y, weights), test_fraction=0.0)
    np.testing.assert_allclose(weights, rows.weights, rtol=1e-6)
    for wrong in (({"a": y, "b": y[:30]}, y), (given, y, weights[:30])):
        with pytest.raises(DataError, match=r"^the numbers of rows differ: x\..* 30"):
            load_memory(wrong)
    with pytest.raises(DataError, match=r"X has shape \(0, 3\): there are no rows"):
        load_memory((np.zeros((0, 3)), np.zeros(0)))


def test_an_array_to_be_predicted_has_the_columns_of_a_study():
    rows = np.array([[1.5, 2.0], [3.0, 4.0]])
    expected = {"x0": [1.5, 3.0], "x1": [2.0, 4.0]}
    for value in (rows, rows.tolist()):
        assert expected == to_named_rows(value).to_pydict()
    frame = pd.DataFrame(rows, columns=["x1", "x0"])
    images = np.zeros((2, 4, 4, 1), np.uint8)
    assert to_named_rows(frame) is frame
    assert images.shape == to_named_rows(images).shape
