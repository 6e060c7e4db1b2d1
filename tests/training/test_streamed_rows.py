"""Rows on the disk that exceed an accelerator's memory: transferred part by part.

The device is a processor, which is said to have little memory.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from training.test_rows_on_disk import ROW_BYTES, TRIAL, on_disk, whole

from hpsearch.training import batching
from hpsearch.training.vectorized import VectorizedTrainer, device_data
from hpsearch.training.vectorized.batch_engine import BatchEngine
from hpsearch.training.vectorized.group_factory import GroupFactory
from hpsearch.training.vectorized.row_stream import RowStream
from hpsearch.trial import TrialResult, TrialSpec

SMALL_BATCH = {**TRIAL.params, "batch_size": 8}
STREAMED = [
    replace(TRIAL, number=0, params=SMALL_BATCH),
    replace(TRIAL, number=1, params={**SMALL_BATCH, "learning_rate": 0.02}),
    replace(TRIAL, number=2, params={**SMALL_BATCH, "batch_size": 5}),
    replace(TRIAL, number=3, params={**SMALL_BATCH, "optimizer": "sgd"}, epochs=1),
    replace(TRIAL, number=4, params={**SMALL_BATCH, "dropout": 0.2}, seed=12),
]
ROOM = 2 * 3 * 24 * ROW_BYTES  # for 24 of the 90 rows at a time: four parts


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "WINDOW_BYTES", 20 * ROW_BYTES)
    monkeypatch.setattr(batching, "BLOCK_BYTES", 5 * ROW_BYTES)
    monkeypatch.setattr(device_data, "EVALUATION_ROWS", 9)


@pytest.mark.usefixtures("few_at_a_time")
@pytest.mark.parametrize(
    "n_trials", [2, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 5))]
)
def test_rows_beyond_an_accelerators_memory_are_transferred_once_for_all_lanes(
    n_trials: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, trials = on_disk(tmp_path), STREAMED[:n_trials]
    in_memory = replace(problem, features=np.array(problem.features))
    expected = train(VectorizedTrainer(in_memory, placement="threads"), trials)
    monkeypatch.setattr(device_data, "device_memory", lambda: ROOM)
    trainer = VectorizedTrainer(problem, placement="batch")
    found = train(trainer, trials)
    assert found.keys() == expected.keys()
    for number, result in found.items():
        assert result.error is None, result.traceback
        for name, curve in expected[number].curves.items():
            np.testing.assert_allclose(result.curves[name], curve, 1e-5, err_msg=name)
    assert count_transfers(trainer) == 2 * (4 + 4)  # epochs; to train and to evaluate


@pytest.mark.long
@pytest.mark.usefixtures("few_at_a_time")
def test_a_final_fit_transfers_rows_beyond_an_accelerators_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = whole(on_disk(tmp_path))
    in_memory = replace(problem, features=np.array(problem.features))
    expected = VectorizedTrainer(in_memory, placement="threads").fit(STREAMED[0])
    monkeypatch.setattr(device_data, "device_memory", lambda: ROOM)
    found = VectorizedTrainer(problem, placement="batch").fit(STREAMED[0])
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, 1e-4, 1e-6)


def train(trainer: VectorizedTrainer, trials: list[TrialSpec]) -> dict[int, TrialResult]:
    results = (r for r in trainer.train(trials) if isinstance(r, TrialResult))
    return {result.number: result for result in results}


def count_transfers(trainer: VectorizedTrainer) -> int:
    engine = trainer._engine
    assert isinstance(engine, BatchEngine)
    assert engine._stream is not None
    return engine._stream.transfers


def test_a_batch_that_spans_more_rows_than_the_device_holds_fails_its_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_data, "device_memory", lambda: 2 * 3 * 10 * ROW_BYTES)
    monkeypatch.setattr(device_data, "EVALUATION_ROWS", 4)
    found = train(VectorizedTrainer(on_disk(tmp_path), placement="batch"), [TRIAL])
    assert "a batch of 16 rows spans more than the" in str(found[0].error)
    assert "use smaller batches, or trainer: keras_fit" in str(found[0].error)


def refuse_transfers(patch: pytest.MonkeyPatch, refused: range) -> None:
    """The device's memory is exhausted at these of a study's transfers."""
    transfer, count = RowStream._transfer, iter(range(10**6))

    def failing(self: RowStream, rows: np.ndarray) -> Any:
        if next(count) in refused:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes")
        return transfer(self, rows)

    patch.setattr(RowStream, "_transfer", failing)


@pytest.mark.long
@pytest.mark.usefixtures("few_at_a_time")
def test_memory_that_ends_during_a_transfer_halves_the_population(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In training, in the second epoch; then while trials are evaluated."""
    problem, trials = on_disk(tmp_path), STREAMED[:2]
    monkeypatch.setattr(device_data, "device_memory", lambda: ROOM)
    trainer = VectorizedTrainer(problem, placement="batch")
    expected = train(trainer, trials)
    for refused in (range(9, 10), range(6, 7)):
        with monkeypatch.context() as patch:
            refuse_transfers(patch, refused)
            begun = count_sizes(patch)
            found = train(VectorizedTrainer(problem, earlier=trainer), trials)
        assert [2, 1] == begun
        for number, result in expected.items():
            assert found[number].error is None
            for name, curve in result.curves.items():
                np.testing.assert_allclose(found[number].curves[name], curve, 1e-5, err_msg=name)


def count_sizes(patch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the groups that are made from now on, in trials."""
    sizes: list[int] = []
    make = GroupFactory.make

    def counted(self: GroupFactory, *given: Any, **named: Any) -> Any:
        group = make(self, *given, **named)
        sizes.append(group.size.tiles * group.size.trials)
        return group

    patch.setattr(GroupFactory, "make", counted)
    return sizes


@pytest.mark.usefixtures("few_at_a_time")
def test_rows_for_which_there_is_never_memory_fail_their_trials_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_data, "device_memory", lambda: ROOM)
    trainer = VectorizedTrainer(on_disk(tmp_path), placement="batch")
    refuse_transfers(monkeypatch, range(10**6))
    begun = count_sizes(monkeypatch)
    found = train(trainer, STREAMED[:2])
    assert [2, 1] == begun
    for result in found.values():
        assert "FAILED" == result.state
        assert "not even one trial at a time fits in the device's memory" in str(result.error)
