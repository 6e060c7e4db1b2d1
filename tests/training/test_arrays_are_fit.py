"""The vectorised trainer on images and sequences does the arithmetic of `keras.Model.fit`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from training.trainer_contract import curves_of_fit, first_fold, images, run, sequences, spec

from hpsearch.training.problem import Problem
from hpsearch.training.vectorized import VectorizedTrainer, session


@pytest.mark.parametrize(
    ("problem", "params"),
    [
        (images(), {"normalization": "batch"}),
        (sequences(), {"cell": "lstm", "l2": 1e-3}),
        (sequences(), {"cell": "gru", "bidirectional": True}),
    ],
)
@pytest.mark.parametrize("placement", ["threads", "batch"])
def test_every_loss_is_that_of_fit(
    problem: Problem, params: dict[str, Any], placement: Any
) -> None:
    _agrees(first_fold(problem), params, placement)


@pytest.mark.parametrize(
    ("problem", "params"),
    [
        (replace(images(), model="cnn"), {"filters": 4, "normalization": "batch", "l2": 1e-3}),
        (replace(sequences(), model="conv1d"), {"filters": 4, "global_pooling": "max"}),
    ],
)
def test_every_loss_of_a_convolution_is_that_of_fit(
    problem: Problem, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on an accelerator; on a CPU they are trained by `keras_fit`."""
    monkeypatch.setattr(session, "is_on_cpu", lambda: False)
    _agrees(first_fold(problem), params, "batch")


def _agrees(problem: Problem, params: dict[str, Any], placement: Any) -> None:
    trial = spec(epochs=2, **params)
    result = run(VectorizedTrainer(problem, placement=placement), [trial])[1][0]
    assert result.error is None, result.traceback or result.error
    for name, expected in curves_of_fit(problem, trial).items():
        np.testing.assert_allclose(expected, result.curves[name], rtol=1e-4)


def test_augmentation_changes_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its random numbers are the trial's: the same trial is the same, bit for bit."""
    monkeypatch.setattr(session, "is_on_cpu", lambda: False)
    problem = replace(first_fold(images()), model="cnn")
    moved = {"random_translation": 0.2, "random_flip": "vertical", "random_rotation": 0.05}
    moved |= {"random_zoom": 0.1, "filters": 4}
    trials = [spec(0, epochs=2, filters=4), spec(1, epochs=2, **moved)]
    trials += [spec(2, epochs=2, **moved)]
    results = run(VectorizedTrainer(problem, placement="batch"), trials)[1]
    assert [None] * 3 == [r.error for r in results.values()], results[1].traceback
    plain, one, two = (results[n].curves["train/loss"] for n in range(3))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(plain, one)
