"""The order of rows that are on disk."""

import numpy as np

from hpsearch.training import batching
from hpsearch.training.batching import draw_disk_order, draw_epoch_order

ROW_BYTES = 100


def test_rows_that_fit_in_a_window_have_the_order_of_rows_in_memory():
    for n_rows in (1, 1000):
        expected = draw_epoch_order(7, 2, n_rows)
        np.testing.assert_array_equal(expected, draw_disk_order(7, 2, n_rows, ROW_BYTES))


def test_a_window_holds_all_rows_of_its_blocks_shuffled(monkeypatch):
    monkeypatch.setattr(batching, "BLOCK_BYTES", 10 * ROW_BYTES)
    monkeypatch.setattr(batching, "WINDOW_BYTES", 200 * ROW_BYTES)
    orders = [draw_disk_order(7, epoch, 1000, ROW_BYTES) for epoch in (0, 0, 1)]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()
    for order in orders:
        np.testing.assert_array_equal(np.arange(1000), np.sort(order))
        for window in order.reshape(5, 200):
            assert 20 == len(np.unique(window // 10))  # blocks
            assert 8 < len(np.unique(window[:20] // 10))  # which a batch mixes
        windows = [set(window // 10) for window in order.reshape(5, 200)]
        assert windows[0] != set(range(20))  # blocks are not in their order


def test_a_shorter_last_block_is_in_the_order(monkeypatch):
    monkeypatch.setattr(batching, "BLOCK_BYTES", 10 * ROW_BYTES)
    monkeypatch.setattr(batching, "WINDOW_BYTES", 30 * ROW_BYTES)
    order = draw_disk_order(1, 0, 97, ROW_BYTES)
    np.testing.assert_array_equal(np.arange(97), np.sort(order))
