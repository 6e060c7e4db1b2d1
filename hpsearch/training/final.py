"""The final fit: one network on all development rows, assembled into the model that is served.

It looks at no validation row: how many epochs it trains was read off the search's mean curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.schema import Schema
from ..models.assembled import assemble
from ..trial import TrialSpec
from .problem import Problem
from .trainer import Trainer


@dataclass(frozen=True, slots=True)
class FinalFit:
    """What the final fit needs."""

    trial: TrialSpec  # its epochs are exactly those to train
    problem: Problem  # one fold: all development rows train, none validates
    schema: Schema
    locked: np.ndarray  # cleaned columns of the test rows, (n_test, n_columns) float32
    path: Path  # where the model goes, `*.keras`


def final_fit(trainer: Trainer, final: FinalFit) -> np.ndarray:
    """Train, assemble, save, and predict the locked rows with what was saved.

    Returns:
        Predictions, shape (n_test, n_outputs): probabilities, or the target's own unit.
    """
    import keras

    problem, trial = final.problem, final.trial
    weights = trainer.fit(trial)
    network = problem.builder(trial.params, trial.seed)()
    network.set_weights(weights)
    model = assemble(network, final.schema, problem.statistics[0], problem.task)
    partial = final.path.with_name(f"partial-{final.path.name}")
    model.save(partial)
    partial.replace(final.path)  # a full disk leaves no half model behind
    saved = keras.models.load_model(final.path, safe_mode=True)
    if not len(final.locked):
        return np.empty((0, problem.n_outputs), np.float32)
    return np.asarray(saved.predict(final.locked, verbose=0, batch_size=4096))
