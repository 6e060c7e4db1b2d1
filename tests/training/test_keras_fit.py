"""`keras_fit` under TensorFlow, in a separate process, and under this process's backend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training.trainer_contract import curves_of_fit, first_fold, linear, run, same, separable, spec

from hpsearch.training.keras.keras_fit import KerasFitTrainer

ROOT = Path(__file__).parents[2]


# Of each kind of test one: curves of `fit`, bits, one trace, what is served. Rungs are the same
# under every backend.
SOME = (
    "is_tensorflow or (is_that_of_fit and params2)"
    " or same_seed or one_trace or is_fitted_is or realmlp or frozen_trial"
    " or (on_disk and params0)"
)


@pytest.mark.parametrize(
    "selected",
    [pytest.param(SOME, id="some"), pytest.param("", id="all", marks=pytest.mark.long)],
)
@pytest.mark.timeout(1800)
def test_the_contract_holds_under_tensorflow(selected: str) -> None:
    child = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--noconftest", "-q", "-p", "no:cacheprovider"),
            *("-k", selected),
            str(Path(__file__).with_name("keras_fit_under_tensorflow.py")),
        ],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == child.returncode, child.stdout[-6000:]
    assert "passed" in child.stdout


def test_another_backend_trains_batch_by_batch() -> None:
    trainer = KerasFitTrainer(linear())
    trial = spec(layers=0, epochs=12, learning_rate=0.2)
    result = run(trainer, [trial])[1][0]
    assert (None, "COMPLETE") == (result.traceback, result.state)
    assert result.score is not None
    assert result.score > 0.98
    assert same(result, run(trainer, [trial])[1][0])


def test_every_loss_is_that_of_fit_on_another_backend() -> None:
    problem, trial = first_fold(separable()), spec(epochs=2, l2=0.01)
    curves = run(KerasFitTrainer(problem), [trial])[1][0].curves
    for name, expected in curves_of_fit(problem, trial).items():
        np.testing.assert_allclose(expected, curves[name], rtol=1e-5)
