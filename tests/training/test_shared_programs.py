"""Trials with different optimizers or batch sizes share programs, and agree with `fit`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from long_cases import long_unless
from training.test_vectorized import compilations, model_file
from training.test_vectorized_is_fit import (
    TRAINERS,
    assert_agrees,
    fit_curves,
    make_problem,
    vectorized_curves,
)
from training.trainer_contract import first_fold, run, same, separable, spec

from hpsearch.data.split import Split
from hpsearch.training.optimizers import OPTIMIZERS
from hpsearch.training.problem import EarlyStopping, Problem
from hpsearch.training.vectorized import VectorizedTrainer, recipe
from hpsearch.trial import TrialSpec

BY_VARIABLE = ("lamb", "adafactor", "muon")
FLAT = tuple(name for name in OPTIMIZERS if name not in BY_VARIABLE)
TWO = {"optimizers": ("adam", "sgd")}


@pytest.mark.parametrize("optimizer", FLAT)
def test_an_optimizer_among_others_makes_the_curves_of_fit(optimizer: str) -> None:
    problem = make_problem(optimizers=tuple(OPTIMIZERS))
    rate = {"adadelta": 1.0, "lion": 0.001}.get(optimizer, 0.01)
    assert_agrees(problem, {"optimizer": optimizer, "learning_rate": rate, "beta_2": 0.99})


def test_optimizers_share_their_program() -> None:
    problem = replace(separable(), optimizers=tuple(OPTIMIZERS))
    assert [2] * len(FLAT) == compilations(problem, [{"optimizer": name} for name in FLAT])


def test_adamw_is_adam_with_a_weight_decay() -> None:
    assert [2, 2] == compilations(separable(), [{"optimizer": "adam"}, {"optimizer": "adamw"}])


def test_an_optimizer_that_looks_at_each_variable_has_a_program_of_its_own() -> None:
    problem = replace(separable(), optimizers=("adam", "lamb", "sgd"))
    trials = [{"optimizer": name} for name in ("adam", "lamb", "sgd")]
    assert [2, 3, 3] == compilations(problem, trials)


def test_what_all_optimizers_read_is_no_reason_for_another_program() -> None:
    problem = replace(separable(), **TWO)
    common = {"clipvalue": 0.5, "weight_decay": 0.01, "use_ema": True}
    trials = [{"optimizer": name, **common} for name in TWO["optimizers"]]
    assert [2, 2] == compilations(problem, trials)


def test_an_optimizer_that_the_study_does_not_offer_trains_alone() -> None:
    problem = replace(separable(), **TWO)
    assert [2, 3] == compilations(problem, [{"optimizer": "adam"}, {"optimizer": "nadam"}])


@pytest.mark.parametrize("optimizer", ["adam", pytest.param("sgd", marks=pytest.mark.long)])
def test_averaged_weights_among_others_are_what_is_judged(optimizer: str) -> None:
    problem = make_problem(**TWO)
    params = {"optimizer": optimizer, "use_ema": True, "ema_momentum": 0.6, "batch_size": 16}
    trial = TrialSpec(number=0, params={**params, "units": 6}, seed=11, epochs=1)
    [report] = vectorized_curves(problem, trial)
    training, validation = fit_curves(problem, trial, 1)
    np.testing.assert_allclose([report.metrics["train/loss"][1]], training, 1e-4)
    np.testing.assert_allclose([report.metrics["val/loss"][1]], validation, 1e-4)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Batches are computed four rows at a time."""
    monkeypatch.setattr(recipe, "CHUNK", 4)
    TRAINERS.clear()  # what they have compiled is for other chunks
    yield
    TRAINERS.clear()


# A fold has 45 training rows: batches of whole chunks, with a short last chunk, one short batch.
@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("batch_size", long_unless((10, 64).__contains__, [4, 10, 16, 64]))
def test_a_batch_in_chunks_makes_the_curves_of_fit(batch_size: int) -> None:
    problem = make_problem(batch_sizes_vary=True)
    assert_agrees(problem, {"batch_size": batch_size, "l1": 0.003, "l2": 0.01})


@pytest.mark.usefixtures("small_chunks")
def test_weights_and_classes_count_in_chunks_as_in_fit() -> None:
    weights = np.random.default_rng(0).uniform(0, 3, 90).astype("float32")
    problem = make_problem("multiclass", weights=weights, batch_sizes_vary=True)
    assert_agrees(problem, {"batch_size": 10, "normalization": "layer"})


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("optimizer", ["lamb", pytest.param("muon", marks=pytest.mark.long)])
def test_an_optimizer_that_looks_at_each_variable_takes_chunks(optimizer: str) -> None:
    assert_agrees(make_problem(batch_sizes_vary=True), {"optimizer": optimizer, "batch_size": 10})


@pytest.mark.usefixtures("small_chunks")
def test_a_penalty_of_outputs_counts_in_chunks_as_in_fit(tmp_path: Path) -> None:
    penalty = "x = k.Dense(6, 'relu', activity_regularizer=keras.regularizers.L2(0.05))(x)"
    problem = make_problem(model=model_file(tmp_path, penalty), batch_sizes_vary=True)
    assert_agrees(problem, {"batch_size": 10})


@pytest.mark.usefixtures("small_chunks")
def test_chunks_of_a_batch_draw_other_noise() -> None:
    """Else a row eight times would train as it does four times."""
    once = separable()
    losses = []
    for n_rows in (4, 8):
        rows = replace(once.folds[0], train=np.zeros(n_rows, int))
        problem = replace(
            once, folds=(rows,), statistics=once.statistics[:1], batch_sizes_vary=True
        )
        params = {"batch_size": n_rows, "dropout": 0.5, "optimizer": "sgd"}
        reports, _ = run(VectorizedTrainer(problem, placement="threads"), [spec(**params)])
        losses.append(reports[0].metrics["train/loss"][0])
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (replace(separable(), batch_sizes_vary=True), [2, 2, 2, 3]),
        (separable(), [2, 3, 4, 5]),  # a study of one batch size has nothing to share
    ],
)
def test_larger_batches_share_their_program(problem: Problem, expected: list[int]) -> None:
    trials = [{"batch_size": n} for n in (64, 100, 128, 32)]
    assert expected == compilations(problem, trials)


def test_a_batch_that_is_normalized_is_not_computed_in_chunks() -> None:
    problem = replace(separable(), batch_sizes_vary=True)
    trials = [{"batch_size": n, "normalization": "batch"} for n in (64, 80)]
    assert [2, 3] == compilations(problem, trials)


CENTRED = "x = k.Dense(6)(x)\nx = x - keras.ops.mean(x, axis=0, keepdims=True)"
ACTIVATED = """
@keras.saving.register_keras_serializable()
def centred(x):
    return x - keras.ops.mean(x, axis=0, keepdims=True)
x = k.Dense(6, centred)(x)
""".strip()
NESTED = "x = keras.Sequential([k.Dense(6), k.BatchNormalization()])(x)"


@pytest.mark.parametrize("body", [CENTRED, ACTIVATED, NESTED])
def test_a_model_whose_rows_look_at_each_other_is_not_computed_in_chunks(
    body: str, tmp_path: Path
) -> None:
    problem = replace(separable(), model=model_file(tmp_path, body), batch_sizes_vary=True)
    made = recipe.make_recipe(problem, {"batch_size": 64}, 0, shares=True)
    assert made.chunk is None
    alone = replace(problem, model=model_file(tmp_path, "x = k.Dense(6, 'relu')(x)"))
    assert 64 == recipe.make_recipe(alone, {"batch_size": 64}, 0, shares=True).chunk


def test_a_models_own_call_may_look_at_all_rows() -> None:
    from hpsearch.training.vectorized.padding import is_by_row

    class Centred(keras.Model):
        def call(self, x: Any) -> Any:
            return x - keras.ops.mean(x, axis=0, keepdims=True)

    assert not is_by_row(Centred())


def test_much_work_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "SHARED_WORK", 1000)
    problem = replace(separable(), batch_sizes_vary=True, **TWO)
    trials = [{"optimizer": "adam"}, {"optimizer": "sgd"}, {"batch_size": 64}, {"batch_size": 80}]
    assert [2, 3, 4, 5] == compilations(problem, trials)


def refolded(problem: Problem, *, patience: int | None = None) -> Problem:
    """The same rows in other folds, as for finalists; or with another patience."""
    folds = tuple(Split(f.train[::-1] + 0, f.validation) for f in problem.folds[::-1])
    early = None if patience is None else EarlyStopping(patience)
    return replace(problem, folds=folds, early_stopping=early)


def test_finalists_and_the_final_fit_use_the_programs_of_the_search() -> None:
    problem = replace(separable(), early_stopping=EarlyStopping(1))
    trial = spec(epochs=2, units=6, dropout=0.2)
    search = VectorizedTrainer(problem, placement="threads")
    run(search, [trial])
    assert 2 == search.compilations
    fresh = refolded(problem)
    finalists = VectorizedTrainer(fresh, earlier=search)
    expected = run(VectorizedTrainer(fresh, placement="threads"), [trial])[1][0]
    assert same(expected, run(finalists, [trial])[1][0])
    rows = np.arange(len(problem.target))
    whole = replace(fresh, folds=(Split(rows, rows[:0]),), statistics=problem.statistics[:1])
    fitted = VectorizedTrainer(whole, earlier=finalists).fit(trial)
    assert all(np.isfinite(weights).all() for weights in fitted)
    assert 2 == search.compilations


def test_a_large_network_is_fitted_at_last_by_a_program_for_all_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recipe, "SHARED_WORK", 1000)
    search = VectorizedTrainer(separable(), placement="threads")
    fitted = VectorizedTrainer(first_fold(separable()), earlier=search).fit(spec(epochs=1))
    assert 0 == search.compilations
    expected = search.fit(spec(epochs=1))
    for weights, own in zip(expected, fitted, strict=True):
        np.testing.assert_allclose(weights, own, rtol=1e-5, atol=1e-6)


@pytest.mark.long
def test_lanes_of_finalists_use_the_programs_of_the_search_but_not_its_patience() -> None:
    problem = replace(separable(), early_stopping=EarlyStopping(1))
    trial = spec(epochs=4, units=6, learning_rate=1e-9)  # no epoch is better than the first
    search = VectorizedTrainer(problem, placement="batch")
    assert 2 == len(run(search, [trial])[0])
    compiled = search.compilations
    assert 2 == len(
        run(VectorizedTrainer(refolded(problem, patience=1), earlier=search), [trial])[0]
    )
    assert compiled == search.compilations
    assert 4 == len(run(VectorizedTrainer(refolded(problem), earlier=search), [trial])[0])
    better = spec(epochs=4, units=6, learning_rate=0.01)  # but never by so much
    hasty = replace(problem, early_stopping=EarlyStopping(1, min_delta=2.0))
    assert 2 == len(run(VectorizedTrainer(hasty, earlier=search), [better])[0])
    assert 4 == len(run(VectorizedTrainer(refolded(problem), earlier=search), [better])[0])
    assert compiled == search.compilations


def test_lanes_in_a_batch_share_nothing() -> None:
    """Every lane would compute the branches of all."""
    problem = replace(separable(), batch_sizes_vary=True, **TWO)
    trainer = VectorizedTrainer(problem, placement="batch")
    run(trainer, [spec(number=0, epochs=1, optimizer="adam")])
    run(trainer, [spec(number=1, epochs=1, optimizer="sgd")])
    assert 4 == trainer.compilations
