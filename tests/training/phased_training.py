"""A model of one's own trained in phases, and the same as a user of Keras would write it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from training.trainer_contract import _fit_rows, first_fold, run, separable, spec

from hpsearch.training.batching import derive_order_seed, draw_epoch_order
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.phases import Phase, arrange_phases
from hpsearch.training.problem import Problem
from hpsearch.trial import TrialSpec

MODEL = """
import keras
import numpy as np

def build(params, inputs, outputs):
    backbone = keras.Sequential(
        [
            keras.Input(inputs),
            keras.layers.Dense(6, "relu", name="block1"),
            keras.layers.BatchNormalization(name="block1_norm"),
            keras.layers.Dense(4, "tanh", name="block2"),
        ],
        name="backbone",
    )
    rng = np.random.default_rng(0)  # weights that were trained before
    backbone.set_weights([rng.uniform(0.1, 0.9, w.shape) for w in backbone.get_weights()])
    first = keras.Input(inputs)
    last = keras.layers.Dense(outputs.units, outputs.activation, name="head")(backbone(first))
    model = keras.Model(first, last)
    if params.get("compiled"):
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "binary_crossentropy")
    return model
"""
PHASES = arrange_phases(
    [
        Phase(0, 2, ("head",)),
        Phase(0, 1, ("head", "block2"), 0.01),
        Phase(0, 2, ("*",), "fine_rate"),
    ]
)
EPOCHS = 5


def phased(folder: Path) -> Problem:
    (folder / "mine.py").write_text(MODEL, encoding="utf-8")
    return replace(first_fold(separable()), model=f"{folder / 'mine.py'}:build", phases=PHASES)


def phased_trial(**params: Any) -> TrialSpec:
    return spec(epochs=EPOCHS, fine_rate=0.003, **params)


def curves_of_fits(problem: Problem, trial: TrialSpec) -> dict[str, list[float]]:
    """Losses of a loop of `fit`, which is compiled again for each phase."""
    split, curves = problem.folds[0], {"train/loss": [], "val/loss": []}
    model = problem.make_own_builder(trial.params, trial.seed)()
    backbone, is_compiled = model.get_layer("backbone"), bool(trial.params.get("compiled"))
    first, second, third = 0.02, 0.01, 0.003
    if is_compiled:
        first = 0.1
    for epoch in range(EPOCHS):
        if epoch in (0, 2, 3):
            for layer in backbone.layers:
                layer.trainable = epoch == 3 or (epoch == 2 and layer.name == "block2")
            rate = {0: first, 2: second, 3: third}[epoch]
            kinds = keras.optimizers
            own = kinds.SGD(rate, momentum=0.9) if is_compiled else kinds.Adam(rate)
            model.compile(own, "binary_crossentropy")
        order = draw_epoch_order(derive_order_seed(split.train), epoch, len(split.train))
        x, y, _ = _fit_rows(problem, 0, split.train[order])
        validation = _fit_rows(problem, 0, split.validation)[:2]
        given = {"batch_size": 25, "shuffle": False, "verbose": 0, "validation_data": validation}
        logs = model.fit(x, y, **given).history
        curves["train/loss"] += logs["loss"]
        curves["val/loss"] += logs["val_loss"]
    return curves


def check_phases_are_fits(folder: Path, **params: Any) -> None:
    problem, trial = phased(folder), phased_trial(**params)
    reports, results = run(KerasFitTrainer(problem), [trial])
    assert "COMPLETE" == results[0].state, results[0].error
    for name, expected in curves_of_fits(problem, trial).items():
        np.testing.assert_allclose(expected, [r.metrics[name][0] for r in reports], rtol=1e-4)


def check_resumed_phases(folder: Path) -> None:
    """From a checkpoint after each epoch, and thus in each phase, the curve is the same."""
    trainer = KerasFitTrainer(phased(folder))
    trial = replace(phased_trial(), checkpoint=1)
    reports, _ = run(trainer, [trial])
    for saved in reports[:-1]:
        again, _ = run(trainer, [replace(trial, resume_from=saved.checkpoint)])
        for a, b in zip(reports, again, strict=True):
            assert a.metrics["val/loss"].tobytes() == b.metrics["val/loss"].tobytes()
