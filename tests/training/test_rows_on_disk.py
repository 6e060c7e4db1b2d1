"""Rows that are mapped from the disk: their order, and the vectorized trainer on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training.test_vectorized_is_fit import SMALL, fit_curves, make_problem

from hpsearch.errors import TrainingError
from hpsearch.training import batching
from hpsearch.training.batching import order_training_rows
from hpsearch.training.problem import Problem
from hpsearch.training.vectorized import VectorizedTrainer, device_data, thread_engine
from hpsearch.trial import TrialSpec

TRIAL = TrialSpec(number=0, params={**SMALL, "optimizer": "adam"}, seed=11, epochs=2)
ROW_BYTES = 5 * 4


def on_disk(folder: Path) -> Problem:
    problem = make_problem()
    np.save(folder / "rows.npy", problem.features)
    features = np.load(folder / "rows.npy", mmap_mode="r")
    return replace(problem, features=features, on_disk=True)


def test_an_epoch_in_parts_has_the_curves_of_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread_engine, "PART_BYTES", 16 * ROW_BYTES)  # a batch: three parts
    problem = on_disk(tmp_path)
    *reports, result = VectorizedTrainer(problem, placement="threads").train([TRIAL])
    assert result.error is None
    training, validation = fit_curves(problem, TRIAL, 1)
    for name, expected in (("train/loss", training), ("val/loss", validation)):
        found = [report.metrics[name][1] for [report] in reports]
        np.testing.assert_allclose(found, expected, 1e-4)


def test_the_rows_of_a_processor_are_the_mapped_file(tmp_path: Path) -> None:
    problem = on_disk(tmp_path)
    rows = device_data.make_device_data(problem).rows.features
    assert rows.unsafe_buffer_pointer() == problem.features.ctypes.data


def test_folds_take_their_rows_from_one_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "WINDOW_BYTES", 20 * ROW_BYTES)
    monkeypatch.setattr(batching, "BLOCK_BYTES", 5 * ROW_BYTES)
    problem = on_disk(tmp_path)
    halves = [fold.train for fold in problem.folds]  # which are all rows
    whole = order_training_rows(np.arange(90), 1, problem.features, on_disk=True)
    for rows in halves:
        found = order_training_rows(rows, 1, problem.features, on_disk=True)
        np.testing.assert_array_equal(whole[np.isin(whole, rows)], found)
        np.testing.assert_array_equal(np.sort(rows), np.sort(found))


def test_rows_beyond_an_accelerators_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_data, "device_memory", lambda: 3000)
    with pytest.raises(TrainingError, match="holds the rows on the device") as caught:
        device_data.make_device_data(on_disk(tmp_path))
    assert "use trainer: keras_fit" in str(caught.value)
