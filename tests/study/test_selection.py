"""Choice of the winner: finalists, one standard error, ensembles, several seeds."""

import shutil
from dataclasses import replace
from functools import partial
from itertools import takewhile

import keras
import numpy as np
import pandas as pd
import pytest
from inline_worker_pool import training_inline

import hpsearch
from hpsearch.data.columns import Column
from hpsearch.data.schema import Schema
from hpsearch.data.split import Split
from hpsearch.data.statistics import Statistics, fit_statistics
from hpsearch.errors import SpecError
from hpsearch.events import FinalistScored
from hpsearch.execution.inline_executor import InlineExecutor
from hpsearch.models.assembly import WeightedNetwork, assemble_model
from hpsearch.spec.study_file import load_dict
from hpsearch.study.validation import check_study
from hpsearch.study.winner.ensemble import (
    compare_fold_scores,
    find_row_blocks,
    select_ensemble,
)
from hpsearch.study.winner.finalists import (
    Finalist,
    best_finalist,
    rescore_trials,
    simplest_finalist,
)
from hpsearch.training.metrics import METRICS
from hpsearch.training.problem import Problem
from hpsearch.training.trainer_factory import make_trainer
from hpsearch.trial import Trial, TrialResult, TrialSpec


def finalist(number: int, value: float, *, spread: float = 0.02, weights: int = 10) -> Finalist:
    trial = Trial(number, 0, {}, 0, 5, 0, score=0.9, n_parameters=weights)
    return Finalist(trial, value, spread, n_folds=4)


def test_the_best_finalist_wins_and_the_earlier_of_equals():
    found = [finalist(4, 0.7), finalist(2, 0.8), finalist(3, 0.8)]
    assert 2 == best_finalist(found, "maximize").trial.number
    assert 4 == best_finalist(found, "minimize").trial.number


def test_the_simplest_within_one_standard_error_of_the_best_wins():
    found = [
        finalist(0, 0.800, weights=500),
        finalist(1, 0.791, weights=50),
        finalist(2, 0.789, weights=5),
    ]
    assert 1 == simplest_finalist(found, "maximize").trial.number
    assert 2 == simplest_finalist(found, "minimize").trial.number


@pytest.mark.parametrize(
    "more",
    [
        {"selection": {"kind": "best", "max_ms_per_row": 1}},
        {"constraints": ["parameters <= 900"]},
        {"objectives": [{"metric": "roc_auc"}, {"metric": "parameters"}]},
    ],
)
def test_the_time_of_an_ensemble_is_not_limited_where_there_is_none(more):
    limited = {"data": {}, "search_space": {"units": [4, 8]}, "selection": {"max_ms_per_row": 1}}
    check_study(load_dict(limited))
    with pytest.raises(SpecError, match=r"selection\.max_ms_per_row: limits an ensemble, and this"):
        check_study(load_dict({**limited, **more}))


def folds_of(n_rows: int, seed: int) -> tuple[Split, ...]:
    fold = np.random.default_rng(seed).permutation(n_rows) % 4
    return tuple(Split(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(4))


def noise(seed: int, n_rows: int = 120) -> Problem:
    """Labels that no feature says anything about: the true AUC of any network is 0.5."""
    rng = np.random.default_rng(seed)
    zero, one = np.zeros(5, np.float32), np.ones(5, np.float32)
    return Problem(
        task="binary",
        features=rng.normal(size=(n_rows, 5)).astype(np.float32),
        target=(rng.random((n_rows, 1)) < 0.5).astype(np.float32),
        folds=folds_of(n_rows, seed),
        statistics=(Statistics(zero, zero, one, zero[:1], one[:1]),) * 4,
        objective="roc_auc",
        metrics=("roc_auc",),
    )


class CountingExecutor(InlineExecutor):
    """Records how many trials come with each submission."""

    def submit(self, *trials: TrialSpec) -> None:
        self.submitted = [*getattr(self, "submitted", []), len(trials)]
        super().submit(*trials)


def test_the_finalists_score_is_nearer_the_truth_than_the_searchs():
    search: list[float] = []
    again: list[float] = []
    for seed in range(3):
        problem = noise(seed)
        trainer = make_trainer("vectorized", problem)
        params = {"layers": 1, "units": 8, "learning_rate": 0.03}
        specs = [TrialSpec(n, params, seed=100 * seed + n, epochs=8) for n in range(16)]
        results = [w for w in trainer.train(specs) if isinstance(w, TrialResult)]
        top = sorted(results, key=lambda r: -(r.score or 0))[:3]
        trials = [
            Trial(r.number, 0, params, 0, 8, 0, score=r.score, best_epoch=r.best_epoch) for r in top
        ]
        fresh = replace(problem, folds=folds_of(120, 1000 + seed))
        said: list[FinalistScored] = []
        executor = CountingExecutor(
            partial(make_trainer, "vectorized", earlier=trainer), fresh, population=2
        )
        rescore_trials(
            trials,
            problem=fresh,
            executor=executor,
            seed=seed,
            record=said.append,
            stop_requested=lambda: False,
        )
        assert [2, 1] == executor.submitted  # in populations
        assert {t.number for t in trials} == {event.trial for event in said}
        search += [r.score for r in top]
        again += [event.score for event in said]
    assert np.mean(search) > 0.55
    assert abs(np.mean(again) - 0.5) < abs(np.mean(search) - 0.5) / 2


def eight_zeros() -> Problem:
    """A regression whose truth is 0 in every row."""
    target = np.zeros((8, 1), np.float32)
    problem = noise(0, n_rows=8)
    return replace(problem, task="regression", target=target, objective="rmse", metrics=("rmse",))


def choose(tables, *, costs=None, limit=1.0):
    """The weights of an ensemble of `tables` that begins with the first of them."""
    costs = costs or dict.fromkeys(tables, 0.0)
    rmse, first = METRICS["rmse"], next(iter(tables))
    found = select_ensemble(tables, eight_zeros(), rmse, first, costs=costs, limit=limit)
    return found and dict(found.weights)


def test_models_that_err_in_opposite_directions_are_taken_together():
    tables = {n: np.full((8, 1), value) for n, value in ((3, 1.0), (5, -1.0), (7, 4.0))}
    assert {3: 0.5, 5: 0.5} == choose(tables)


def test_a_model_that_nothing_improves_stays_alone():
    assert choose({1: np.zeros((8, 1)), 2: np.full((8, 1), 0.1)}) is None


def test_members_that_cost_more_than_the_limit_are_left_out():
    tables = {n: np.full((8, 1), value) for n, value in ((3, 1.0), (5, -1.0), (7, -0.9))}
    costs = {3: 9.0, 5: 2.0, 7: 1.0}
    assert {3, 7} == choose(tables, costs=costs, limit=1.5).keys()
    assert choose(tables, costs=costs, limit=0.5) is None


def test_rows_are_predicted_by_weights_that_were_chosen_without_them():
    """A table that is better in one fold alone gets no weight there."""
    problem = eight_zeros()
    fold = problem.folds[0].validation
    tables = {1: np.full((8, 1), 1.0), 2: np.full((8, 1), 1.2)}
    tables[2][fold] = -1.0
    found = select_ensemble(tables, problem, METRICS["rmse"], 1, costs={1: 0.0, 2: 0.0}, limit=1.0)
    assert found is not None
    assert 0 < found.weights[2]
    assert np.array_equal(tables[1][fold], found.prediction[fold])
    rmse = METRICS["rmse"]
    ours, single, advantage, error = compare_fold_scores(problem, rmse, found.prediction, tables[1])
    assert single == 1
    assert ours > 1  # what it gains in one fold it does not gain in the next
    assert advantage == pytest.approx(1 - ours)
    assert error > 0


def test_repeated_folds_are_left_out_once_and_rows_outside_all_folds_stay_unknown():
    problem = eight_zeros()
    rows = [fold.validation for fold in problem.folds]
    again = replace(problem, folds=(*problem.folds[1:], *problem.folds[1:]))
    assert [list(r) for r in rows[1:]] == [list(r) for r in find_row_blocks(again)]
    tables = {n: np.full((8, 1), value) for n, value in ((3, 1.0), (5, -1.0))}
    found = select_ensemble(tables, again, METRICS["rmse"], 3, costs={3: 0.0, 5: 0.0}, limit=1.0)
    assert found is not None
    assert set(rows[0]) == set(np.flatnonzero(np.isnan(found.prediction[:, 0])))


def test_targets_with_outliers_and_constant_columns_give_finite_weights():
    problem = eight_zeros()
    target = np.array([[1e12, 3.0], *[[0.0, 3.0]] * 7], np.float32)
    tables = {n: np.full((8, 2), value) for n, value in ((3, 1e12), (5, -1e12), (7, 4.0))}
    problem = replace(problem, target=target)
    found = select_ensemble(
        tables, problem, METRICS["rmse"], 3, costs=dict.fromkeys(tables, 0.0), limit=1.0
    )
    assert found is not None
    assert sum(found.weights.values()) == pytest.approx(1)
    assert np.isfinite(found.prediction).all()


def test_an_average_is_one_model_of_differently_scaled_networks(tmp_path):
    def network(seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        first = keras.Input((5,))
        return keras.Model(first, keras.layers.Dense(2, name="same")(first), name="same")

    networks = [network(0), network(1)]
    rows = np.random.default_rng(0).normal(size=(70, 5)).astype(np.float32)
    schema = Schema(tuple(Column(name, "numeric") for name in "abcde"))
    ways = [
        fit_statistics(schema, rows, rows[:, :2], np.arange(70), scaling=how)
        for how in ("standard", "quantile")
    ]
    parts = [WeightedNetwork(n, s, w) for n, s, w in zip(networks, ways, (0.25, 0.75), strict=True)]
    expected = sum(p.weight * p.network(p.statistics.apply(rows)) for p in parts)
    path = tmp_path / "averaged.keras"
    assemble_model(parts, schema, "multiclass").save(path)
    loaded = keras.models.load_model(path, safe_mode=True)
    np.testing.assert_allclose(expected, loaded.predict(rows, verbose=0), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """A study that ends with an ensemble of two networks a trial, as an average errs much less."""
    root = tmp_path_factory.mktemp("ensemble")
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (300, 4)).astype(np.float32)
    frame = pd.DataFrame({**dict(zip("abcd", x.T, strict=True)), "y": 40 * x[:, 0] * x[:, 1]})
    frame.to_csv(root / "rows.csv", index=False)
    spec = {
        "study": "together",
        "data": {"source": str(root / "rows.csv"), "target": "y"},
        "cross_validation": {"folds": 4},
        "training": {"epochs": 10, "early_stopping": None},
        "search_space": {
            "learning_rate": {"type": "float", "low": 0.02, "high": 0.03},
            "units": 16,
            "batch_size": 16,
        },
        "sampler": {"kind": "random"},
        "pruner": {"kind": "none"},
        "budget": {"trials": 8},
        "selection": {"finalists": 2, "seeds": 2},
    }
    with training_inline():
        return root, spec, hpsearch.tune(spec, root=root, offline=True)


def test_a_table_is_answered_by_an_ensemble_where_it_is_better(ensemble):
    _, _, result = ensemble
    assert result.comparison.is_better
    assert result.comparison.score < result.comparison.single_score  # both out of fold
    assert result.search_score == result.comparison.score
    assert "An ensemble of 2 trials" in result.ensemble


def test_an_ensemble_is_fitted_scored_and_compared_with_its_best_member(ensemble):
    _, _, result = ensemble
    assert pytest.approx(1) == sum(m["weight"] for m in result.members)
    assert len({(m["trial"], m["seed"]) for m in result.members}) == len(result.members)
    assert [result.best.trial] * 2 == [m["trial"] for m in result.members[:2]]
    assert 0 == len(result.members) % 2
    assert result.test.keys() == result.single["metrics"].keys()
    assert result.test["rmse"] < result.single["metrics"]["rmse"]
    assert result.best.finalist_score is not None
    assert result.ms_per_row > 0
    assert result.calibration.bounds


def test_an_ensemble_is_one_keras_model(ensemble):
    _, _, result = ensemble
    model = keras.models.load_model(result.model_path, safe_mode=True)
    answer = model.predict(np.full((2, 4), np.nan, np.float32), verbose=0)
    assert (2, 1) == answer.shape
    assert np.isfinite(answer).all()


def test_an_ensemble_that_answers_too_slowly_gives_way_to_its_best_trial(
    ensemble, tmp_path, caplog
):
    root, spec, first = ensemble
    shutil.copytree(root / "mlruns", tmp_path / "limited" / "mlruns")
    limited = {**spec, "selection": {**spec["selection"], "max_ms_per_row": 1e-9}}
    with training_inline():
        result = hpsearch.tune(limited, root=tmp_path / "limited", offline=True)
    assert {first.best.trial} == {member["trial"] for member in result.members}
    assert "an ensemble of 2 trials takes" in caplog.text


def test_a_study_that_ended_is_not_chosen_and_fitted_again(ensemble):
    root, spec, first = ensemble
    journal = root / "mlruns" / "studies" / "together" / "journal.jsonl"
    before = journal.read_text().count('"event":"final')
    again = hpsearch.tune(spec, root=root, offline=True)
    assert (first.best, first.test) == (again.best, again.test)
    assert before == journal.read_text().count('"event":"final')


@pytest.mark.long
@pytest.mark.parametrize("event", ["winner", "fitted", "final"])
def test_an_ensemble_of_a_study_killed_at_its_end_is_the_one_it_would_have_been(
    ensemble, tmp_path, event
):
    root, spec, first = ensemble
    again_root = tmp_path / "again"
    shutil.copytree(root / "mlruns", again_root / "mlruns")
    folder = again_root / "mlruns" / "studies" / "together"
    journal = folder / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    is_later = f'"event":"{event}"'.encode()
    journal.write_bytes(b"".join(takewhile(lambda line: is_later not in line[:99], lines)))
    if event != "final":
        shutil.rmtree(folder / "final")
    with training_inline():
        again = hpsearch.tune(spec, root=again_root, offline=True)
    assert (first.members, first.comparison) == (again.members, again.comparison)
    assert first.test == again.test
    rows = np.linspace(-1, 1, 20, dtype=np.float32).reshape(5, 4)
    answers = [
        keras.models.load_model(r.model_path).predict(rows, verbose=0) for r in (first, again)
    ]
    np.testing.assert_array_equal(*answers)
