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

from hpsearch.data.split import Split
from hpsearch.training import batching
from hpsearch.training.batching import order_training_rows
from hpsearch.training.keras.disk_batches import make_training_batches
from hpsearch.training.keras.keras_fit import KerasFitTrainer
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


OWN = """
import keras

class Clipped(keras.Model):
    def train_step(self, *args, **kwargs):
        return super().train_step(*args, **kwargs)

def build(params, inputs, outputs):
    first = keras.Input(inputs)
    return Clipped(first, keras.layers.Dense(1, outputs.activation)(first))

class Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch == 1
"""


def test_custom_training_steps_and_callbacks_take_rows_from_the_disk(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    problem = on_disk(tmp_path)
    problem = replace(
        problem,
        folds=problem.folds[:1],
        statistics=problem.statistics[:1],
        model=f"{tmp_path}/own.py:build",
        callbacks=(f"{tmp_path}/own.py:Stop",),
        weights=np.linspace(0, 2, len(problem.target), dtype=np.float32),
    )
    params = {"learning_rate": 0.01, "batch_size": 64}  # one batch, whose order does not matter
    trial = replace(TRIAL, params=params, epochs=5)
    found = []
    for each in (problem, replace(problem, features=np.array(problem.features), on_disk=False)):
        *_, result = KerasFitTrainer(each).train([trial])
        assert isinstance(result, TrialResult)
        assert result.error is None
        found.append(result)
    mapped, expected = found
    assert len(mapped.curves["val/loss"]) == 2  # the callback stops it
    for name, curve in expected.curves.items():
        np.testing.assert_allclose(mapped.curves[name], curve, 1e-5, err_msg=name)


def test_batches_of_rows_on_disk_have_the_order_of_each_epoch(tmp_path: Path) -> None:
    problem = on_disk(tmp_path)
    rows = problem.folds[0].train
    batches = make_training_batches(lambda some: (some,), problem, rows, 16, 1)
    for epoch in (1, 2):
        taken = np.concatenate([batches[i][0] for i in range(len(batches))])
        expected = order_training_rows(rows, epoch, problem.features, on_disk=True)
        np.testing.assert_array_equal(expected, taken)
        batches.on_epoch_end()


def test_a_final_fit_takes_all_rows_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = whole(on_disk(tmp_path))
    expected = VectorizedTrainer(problem, placement="threads").fit(TRIAL)
    monkeypatch.setattr(thread_engine, "PART_BYTES", 16 * ROW_BYTES)
    found = VectorizedTrainer(problem, placement="threads").fit(TRIAL)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, 1e-5, 1e-7)


def whole(problem: Problem) -> Problem:
    """The problem of a final fit: all rows, and none to validate."""
    fold = Split(np.arange(len(problem.target)), np.arange(0))
    return replace(problem, folds=(fold,), statistics=problem.statistics[:1])
