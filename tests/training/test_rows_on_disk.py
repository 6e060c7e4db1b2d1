"""Rows that are mapped from the disk: their order, and the vectorized trainer on them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training.test_vectorized_is_fit import SMALL, fit_curves, make_problem

from hpsearch.errors import TrainingError
from hpsearch.training import batching
from hpsearch.training.batching import order_training_rows
from hpsearch.training.problem import Problem
from hpsearch.training.vectorized import VectorizedTrainer, device_data, thread_engine
from hpsearch.trial import TrialResult, TrialSpec

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


def test_trials_that_train_together_read_each_part_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPSEARCH_THREADS", "1")
    monkeypatch.setattr(thread_engine, "PART_BYTES", 16 * ROW_BYTES)
    monkeypatch.setattr(device_data, "EVALUATION_ROWS", 15)
    counted, results = [], []
    for trials in ([TRIAL], [*(replace(TRIAL, number=i) for i in range(7)), OTHER_BATCH]):
        trainer = VectorizedTrainer(on_disk(tmp_path), placement="threads")
        with monkeypatch.context() as patch:
            read = record_parts(patch)
            results.append([r for r in trainer.train(trials) if isinstance(r, TrialResult)])
        assert len(read) > len(trials) * 20
        counted.append(sum(1 for _ in groupby(read)))
    assert counted[0] == counted[1] == 2 * (6 + 2 * 3)  # epochs, parts, folds with their chunks
    [alone], [first, *others] = results
    assert {r.error for r in (alone, first, *others)} == {None}
    assert alone.curves.keys() == first.curves.keys()
    for name, curve in alone.curves.items():
        np.testing.assert_array_equal(curve, first.curves[name], name)


OTHER_BATCH = replace(TRIAL, number=7, params={**TRIAL.params, "batch_size": 8})


def record_parts(patch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Record what each lane reads: a part of the training rows, or validation rows of a fold."""
    read: list[tuple[object, ...]] = []
    lanes: Counter[tuple[object, ...]] = Counter()
    run = thread_engine.ThreadEngine._run_part

    def run_part(self: Any, trial: Any, fold: int, epoch: int, part: Any, before: Any) -> Any:
        lanes[trial, fold, epoch] += 1
        seen = (fold, part.chunks) if part.chunks else (lanes[trial, fold, epoch],)
        read.append((epoch, *seen))
        return run(self, trial, fold, epoch, part, before)

    patch.setattr(thread_engine.ThreadEngine, "_run_part", run_part)
    return read


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
