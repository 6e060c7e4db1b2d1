"""Trials on threads share a Keras model per structure, and are those of a model of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from training.trainer_contract import run, separable, spec

from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.training.vectorized.templates import Templates

ALTERNATIVES = ("adam", "sgd")
PROBLEM = replace(separable(), optimizers=ALTERNATIVES, batch_sizes_vary=True)


def trials_of_three_structures() -> list[Any]:
    """Depths of 1 to 3, and every number different."""
    return [
        spec(
            i,
            i,
            1,
            layers=1 + i % 3,
            units=4 + 3 * i,
            optimizer=ALTERNATIVES[i % 2],
            batch_size=(16, 64)[i // 2 % 2],
            learning_rate=0.001 * (1 + i),
            dropout=0.02 * i,
            l2=1e-4 * i,
        )
        for i in range(20)
    ]


def templates_of(trainer: VectorizedTrainer) -> Templates:
    templates = trainer._engine.templates  # type: ignore[attr-defined]
    assert isinstance(templates, Templates)
    return templates


def test_twenty_trials_of_three_structures_build_three_models() -> None:
    trainer = VectorizedTrainer(PROBLEM, placement="threads")
    trials = trials_of_three_structures()
    made = trainer._engine._make_trial_runs(trials)  # type: ignore[attr-defined]
    assert 3 == templates_of(trainer).built
    for trial, trial_run in list(zip(trials, made, strict=True))[::9]:
        network = PROBLEM.make_builder(trial.params, 0)()
        assert network.count_params() == trial_run.progress.n_parameters


def test_a_trial_has_the_same_bits_whatever_trial_its_model_was_built_for() -> None:
    trials = trials_of_three_structures()[1:8:6]  # of two layers, and batches of 16 and of 64
    shared = VectorizedTrainer(PROBLEM, placement="threads")
    together = run(shared, trials)[1]
    last = trials[-1]  # its structure was built with the numbers of another
    alone = VectorizedTrainer(PROBLEM, placement="threads", earlier=shared)
    expected = run(alone, [last])[1][last.number]
    for name, curve in expected.curves.items():
        np.testing.assert_array_equal(curve, together[last.number].curves[name])
    for first, second in zip(alone.fit(last), shared.fit(last), strict=True):
        np.testing.assert_array_equal(first, second)


def test_layers_that_cannot_be_padded_are_built_once_per_width() -> None:
    for batched in (True, False):
        templates = Templates(PROBLEM, batched=batched)
        for i in range(6):
            templates.get(spec(i, units=(8, 12)[i % 2], activation="sigmoid", dropout=0.1 * i))
        assert 3 >= templates.built  # the first shows that its layers cannot be padded


def test_an_optimizer_that_depends_on_shapes_has_layers_of_the_trials_own_width() -> None:
    templates = Templates(PROBLEM, batched=False)
    widths = [
        templates.get(spec(optimizer=name, units=8)).network.trainable[0].shape[1]
        for name in ("adam", "muon", "adam")
    ]
    assert [64, 8, 64] == widths


def test_layers_that_an_optimizer_needs_in_their_own_width_are_built_once() -> None:
    for batched in (True, False):
        templates = Templates(PROBLEM, batched=batched)
        for i in range(4):
            templates.get(spec(i, optimizer="muon", units=8, dropout=0.1 * i))
        assert 1 == templates.built


def test_a_number_that_is_no_input_is_found_once_for_all_optimizers() -> None:
    for model in ("mlp", "wide_and_deep"):
        templates = Templates(replace(PROBLEM, model=model), batched=False)
        made = [
            templates.get(spec(i, optimizer=name, units=8, embedding_scale=0.1, dropout=0.1 * i))
            for i, name in enumerate((*ALTERNATIVES, *ALTERNATIVES))
        ]
        assert 2 == templates.built  # the first shows that embedding_scale is no input
        assert made[:2] == made[2:]
