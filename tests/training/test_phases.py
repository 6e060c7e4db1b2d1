"""Phases of a training: what is trained, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from training.phased_training import (
    EPOCHS,
    PHASES,
    check_phases_are_fits,
    check_resumed_phases,
    phased,
    phased_trial,
)
from training.trainer_contract import run

from hpsearch.errors import TrainingError
from hpsearch.training.keras.architecture import make_architecture
from hpsearch.training.keras.keras_fit import KerasFitTrainer
from hpsearch.training.phases import Phase, compute_rates, enter_phase, find_phase
from hpsearch.training.problem import EarlyStopping
from hpsearch.training.trial_result import find_stopped_folds

NAMES = ("kernel", "bias")


@pytest.mark.long
def test_phases_are_those_of_a_loop_of_fit(tmp_path: Path) -> None:
    check_phases_are_fits(tmp_path)


@pytest.mark.long
def test_phases_of_a_compiled_model_are_those_of_a_loop_of_fit(tmp_path: Path) -> None:
    check_phases_are_fits(tmp_path, compiled=True)


@pytest.mark.long
def test_a_trial_is_resumed_in_each_phase(tmp_path: Path) -> None:
    check_resumed_phases(tmp_path)


def test_a_final_fit_has_the_phases_of_the_search(tmp_path: Path) -> None:
    """Its frozen layers keep their weights, and it ends within a phase as a trial does."""
    problem, trial = phased(tmp_path), replace(phased_trial(), epochs=3, planned=EPOCHS)
    trained = KerasFitTrainer(problem).fit(trial)
    built = problem.make_own_builder(trial.params, trial.seed)()
    moved = {
        v.path
        for v, before, after in zip(built.weights, built.get_weights(), trained, strict=True)
        if not np.array_equal(before, after)
    }
    trainable = {f"{layer}/{name}" for layer in ("backbone/block2", "head") for name in NAMES}
    assert trainable == moved


def test_frozen_weights_that_a_function_loads_are_in_no_state_of_a_fold(tmp_path: Path) -> None:
    problem, params = phased(tmp_path), phased_trial().params
    made = [make_architecture(problem, problem.features, params, 0, phase) for phase in range(3)]
    held = [[v.path for v in m.shared_model._fold_weights] for m in made]
    norm = [f"backbone/block1_norm/moving_{name}" for name in ("mean", "variance")]
    head, block2 = ([f"{layer}/{name}" for name in NAMES] for layer in ("head", "backbone/block2"))
    assert [*norm, *head] == held[0]
    assert [*norm, *block2, *head] == held[1]
    assert [v.path for v in made[2].shared_model.model.weights] == held[2]


@pytest.mark.long
def test_own_training_steps_have_phases_too(tmp_path: Path) -> None:
    """Keras's own `fit` is called once a phase, and its curve runs on."""
    problem = phased(tmp_path)
    file = tmp_path / "calls.py"
    file.write_text(
        "import keras\n"
        "class Watch(keras.callbacks.Callback):\n"
        "    def on_epoch_end(self, epoch, logs=None):\n"
        "        rate = float(self.model.optimizer.learning_rate)\n"
        "        with open(__file__ + '.txt', 'a') as file:\n"
        "            print(epoch, len(self.model.trainable_variables), rate, file=file)\n"
        "def make():\n"
        "    return Watch()\n",
        encoding="utf-8",
    )
    watched = replace(problem, callbacks=(f"{file}:make",))
    reports, results = run(KerasFitTrainer(watched), [phased_trial()])
    assert "COMPLETE" == results[0].state, results[0].error
    assert EPOCHS == len(reports)
    rates = [0.02, 0.02, 0.01, 0.003, 0.003]
    expected = np.column_stack([range(EPOCHS), [2, 2, 4, 8, 8], rates])
    np.testing.assert_allclose(expected, np.loadtxt(f"{file}.txt"), rtol=1e-6)


def nested() -> keras.Model:
    layers = keras.layers
    block = [keras.Input((2,)), layers.Dense(2, name="deep"), layers.Dense(2, name="deeper")]
    backbone = keras.Sequential(block, name="backbone")
    backbone.trainable = False
    first = keras.Input((2,))
    return keras.Model(first, layers.Dense(1, name="head")(backbone(first)))


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("head",), {"head"}),
        (("backbone/deep", "head"), {"deep", "head"}),
        (("backbone",), {"deep", "deeper"}),
        (("*er",), {"deeper"}),
        (("*",), {"deep", "deeper", "head"}),
        (None, {"head"}),
    ],
)
def test_patterns_choose_layers_at_any_depth(patterns: tuple[str, ...], expected: set[str]) -> None:
    model = nested()
    frozen = enter_phase(model, [Phase(0, 1, patterns)], 0)
    trained = {v.path.split("/")[-2] for v in model.trainable_variables}
    assert expected == trained
    assert len(model.weights) - len(model.trainable_variables) == len(frozen)


def test_a_weight_that_was_trained_before_is_not_constant_when_it_is_frozen_again() -> None:
    model = nested()
    frozen = enter_phase(model, [Phase(0, 1, ("*",)), Phase(1, 1, ("head",))], 1)
    assert (set(), 2) == (frozen, len(model.trainable_variables))


def test_a_phase_that_trains_nothing_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"phase 1 of training\.phases trains nothing"):
        enter_phase(nested(), [Phase(0, 1, ("input*",))], 0)


def test_each_epoch_has_its_phase_and_a_schedule_begins_with_it() -> None:
    assert [0, 0, 1, 2, 2, 2] == [find_phase(PHASES, epoch) for epoch in range(6)]
    params = {"learning_rate": 1.0, "fine_rate": 0.1, "schedule": "cosine"}
    given = {"n_steps": 1, "n_epochs": EPOCHS, "losses": ()}
    rates = [float(compute_rates(PHASES, params, epoch, **given)[0]) for epoch in range(EPOCHS)]
    np.testing.assert_allclose([1, 0.5, 0.01, 0.1, 0.05], rates, rtol=1e-6)


def test_early_stopping_begins_with_the_last_phase() -> None:
    curve = np.array([[0.5], [0.4], [0.3], [0.2], [0.3], [0.1], [0.1]])
    rule = EarlyStopping(patience=2, first_epoch=3)
    stops = [bool(find_stopped_folds(curve[:n], rule, "maximize")[0]) for n in range(1, 8)]
    assert [*[False] * 6, True] == stops
