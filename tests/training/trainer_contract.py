"""The contract of trainers. A test file subclasses `TrainerContract` and names its trainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.data.columns import Column, ColumnInput, Target
from hpsearch.data.schema import Schema
from hpsearch.data.split import Split
from hpsearch.data.statistics import Statistics, fit_statistics
from hpsearch.data.windows import Windows
from hpsearch.models import load_family, make_outputs
from hpsearch.training.batching import batch_size, derive_order_seed, draw_epoch_order
from hpsearch.training.losses import make_loss
from hpsearch.training.metrics import METRICS, list_default_metrics
from hpsearch.training.optimizers import make_optimizer
from hpsearch.training.problem import EarlyStopping, Problem
from hpsearch.training.trainer import Trainer
from hpsearch.training.trial_result import best_epoch
from hpsearch.training.weight_initialization import build_blueprint, draw_weights
from hpsearch.trial import EpochReport, TrialResult, TrialSpec

N_FOLDS = 3
PARAMS: dict[str, Any] = {
    "layers": 1,
    "units": 8,
    "batch_size": 25,  # 80 training rows: the last batch is short
    "learning_rate": 0.02,
}


def statistics_of(features: np.ndarray, target: np.ndarray, task: str) -> Statistics:
    """Median, mean and deviation of training rows, by numpy."""
    impute = np.nanmedian(features, axis=0)
    filled = np.where(np.isnan(features), impute, features)
    center, scale = filled.mean(axis=0), 1 / filled.std(axis=0)
    shift, unit = np.zeros(target.shape[1]), np.ones(target.shape[1])
    if task == "regression":
        shift, unit = target.mean(axis=0), target.std(axis=0)
    return Statistics(*(v.astype(np.float32) for v in (impute, center, scale, shift, unit)))


def problem_of(
    task: Any, objective: str, features: np.ndarray, target: np.ndarray, **fields: Any
) -> Problem:
    """A problem of three folds whose statistics come from the training rows."""
    rows = np.arange(len(target))
    folds = tuple(Split(rows[rows % N_FOLDS != f], rows[f::N_FOLDS]) for f in range(N_FOLDS))
    features, target = features.astype(np.float32), target.astype(np.float32)
    return Problem(
        task,
        features,
        target,
        folds,
        tuple(statistics_of(features[f.train], target[f.train], task) for f in folds),
        objective,
        list_default_metrics(task, objective),
        **fields,
    )


@cache
def separable() -> Problem:
    """A binary task that a line solves, with some cells missing."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(120, 5))
    target = (features[:, :1] + features[:, 1:2] > 0).astype(float)
    features[:, :2] += 2 * target - 1
    features[rng.random(features.shape) < 0.02] = np.nan
    return problem_of("binary", "roc_auc", features, target)


@cache
def noise() -> Problem:
    """A binary task with nothing to learn: every network overfits."""
    rng = np.random.default_rng(2)
    features, target = rng.normal(size=(120, 5)), rng.integers(0, 2, (120, 1))
    return problem_of("binary", "log_loss", features, target)


@cache
def linear() -> Problem:
    """A regression in a unit far from 0 and 1, its target linear in the features."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(120, 4)) * [1, 10, 100, 1] + [0, 5, -50, 1]
    target = 5000 + features @ np.array([[300.0], [20], [1], [-100]])
    return problem_of("regression", "r2", features, target)


@cache
def three_classes() -> Problem:
    """Three clouds."""
    rng = np.random.default_rng(4)
    classes = rng.integers(0, 3, 120)
    features = rng.normal(size=(120, 3)) + 4 * np.eye(3)[classes]
    return problem_of("multiclass", "accuracy", features, np.eye(3)[classes])


@cache
def images() -> Problem:
    """Bytes of shape (6, 6, 1), of which a class is brighter on its side."""
    rng = np.random.default_rng(5)
    target = rng.integers(0, 2, (120, 1))
    pixels = rng.integers(0, 200, (120, 6, 6, 1))
    pixels[target[:, 0] == 1, :, :3] += 55
    pixels[target[:, 0] == 0, :, 3:] += 55
    problem = problem_of("binary", "roc_auc", pixels, target)
    pixels = pixels.astype(np.uint8)
    fitted = tuple(
        Statistics(
            *(np.array([v], np.float32) for v in (0, x.mean(), 1 / x.std())),
            *(s.target_center, s.target_scale),
        )
        for s, x in zip(problem.statistics, [pixels[f.train] for f in problem.folds], strict=True)
    )
    return replace(problem, features=pixels, statistics=fitted)


@cache
def sequences() -> Problem:
    """A regression of the sum over sequences of shape (5, 2), some numbers missing."""
    rng = np.random.default_rng(6)
    rows = rng.normal(3, 2, size=(120, 5, 2))
    target = 100 + rows[..., :1].sum(axis=1)
    rows[rng.random(rows.shape) < 0.02] = np.nan
    problem = problem_of("regression", "r2", rows, target, model="recurrent")
    fitted = tuple(
        statistics_of(problem.features[f.train].reshape(-1, 2), target[f.train], "regression")
        for f in problem.folds
    )
    return replace(problem, statistics=fitted)


@cache
def texts() -> Problem:
    """A number beside texts of up to 6 tokens, whose class is the order of two of them."""
    rng = np.random.default_rng(7)
    target = rng.integers(0, 2, (120, 1))
    tokens = rng.integers(10, 60, (120, 6)) * (np.arange(6) < rng.integers(2, 7, (120, 1)))
    tokens[:, :2] = np.where(target, [7, 8], [8, 7])
    tokens[::15] = 0  # empty
    problem = problem_of(
        "binary", "roc_auc", np.concatenate([rng.normal(size=(120, 1)), tokens], axis=1), target
    )
    kept = np.array([0] * 6, np.float32)
    fitted = tuple(
        replace(
            s,
            impute=np.r_[s.impute[:1], kept],
            center=np.r_[s.center[:1], kept],
            scale=np.r_[s.scale[:1], kept + 1],
        )
        for s in problem.statistics
    )
    text = ColumnInput("t", "text", 1, (6,))
    columns = (ColumnInput("x", "numeric", 0, (1,)), text)
    return replace(problem, statistics=fitted, column_inputs=columns)


@cache
def three_labels() -> Problem:
    """A multilabel task: each label is a line of its own, and a row has any of them."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(120, 4))
    target = features @ rng.normal(size=(4, 3)) > [0, 0.5, -0.5]
    return problem_of("multilabel", "roc_auc", features, target.astype(float))


@cache
def two_numbers() -> Problem:
    """A regression of two targets in units of their own."""
    rng = np.random.default_rng(6)
    features = rng.normal(size=(120, 4))
    target = [5000, -3] + features @ rng.normal(size=(4, 2)) * [100, 0.1]
    return problem_of("regression", "r2", features, target)


def first_fold(problem: Problem) -> Problem:
    """The problem with one fold, where `fit` must be traced for each."""
    return replace(problem, folds=problem.folds[:1], statistics=problem.statistics[:1])


def spec(number: int = 0, seed: int = 0, epochs: int = 6, **params: Any) -> TrialSpec:
    """A trial with `PARAMS`, but for what is given."""
    return TrialSpec(number, {**PARAMS, **params}, seed, epochs)


def run(
    trainer: Trainer,
    trials: Sequence[TrialSpec],
    stop: Callable[[EpochReport], bool] = lambda report: False,
) -> tuple[list[EpochReport], dict[int, TrialResult]]:
    """Train `trials` to their end; `stop` answers each report."""
    reports: list[EpochReport] = []
    results: dict[int, TrialResult] = {}
    generator = trainer.train(trials)
    answer: set[int] | None = None
    while True:
        try:
            word = generator.send(answer)
        except StopIteration:
            return reports, results
        answer = None
        if isinstance(word, TrialResult):
            assert word.number not in results, "two last words"
            results[word.number] = word
            continue
        assert 1 == len({r.epoch for r in word}), "a population advances one epoch at a time"
        assert not results.keys() & {r.trial for r in word}, "a report after the last word"
        reports += word
        answer = {r.trial for r in word if stop(r)}


def same(a: TrialResult, b: TrialResult) -> bool:
    """Whether two results have the same bits."""
    return (
        a.curves.keys() == b.curves.keys()
        and all(np.array_equal(a.curves[name], b.curves[name]) for name in a.curves)
        and np.array_equal(a.predictions, b.predictions, equal_nan=True)  # type: ignore[arg-type]
        and (a.state, a.score, a.best_epoch) == (b.state, b.score, b.best_epoch)
    )


def answer_of(problem: Problem, trial: TrialSpec, weights: list[np.ndarray]) -> np.ndarray:
    """What a network with `weights` predicts for the first fold's validation rows."""
    network = load_family(problem.model).build(
        {**(problem.fixed_params or {}), **trial.params},
        problem.features.shape[1:],
        make_outputs(problem.task, problem.n_outputs),
    )
    network.set_weights(weights)
    statistics = problem.statistics[0]
    seen = statistics.apply(problem.features[problem.folds[0].validation])
    answer = np.asarray(network.predict(seen, verbose=0))
    return answer * statistics.target_scale + statistics.target_center


def curves_of_fit(problem: Problem, trial: TrialSpec, **compiled: Any) -> dict[str, np.ndarray]:
    """Losses of `keras.Model.fit`, a fold after the other, as a user would write it.

    From the trial's initial weights and batch order: (n_epochs, n_folds) by name.
    `compiled` replaces hyperparameters by what Keras has for them.
    """
    curves = {n: np.empty((trial.epochs, len(problem.folds))) for n in ("train/loss", "val/loss")}
    params = {**(problem.fixed_params or {}), **trial.params, **compiled}
    inputs = problem.features.shape[1:]
    outputs = make_outputs(problem.task, problem.n_outputs)
    also = {"arrays": problem.array_inputs} if problem.array_inputs else {}
    for fold, split in enumerate(problem.folds):
        build = partial(load_family(problem.model).build, params, inputs, outputs, **also)
        model = build()
        plan = build_blueprint(build)
        model.set_weights(draw_weights(plan, trial.fold_seed(fold, "weights")))
        model.compile(make_optimizer(params), make_loss(problem.task, params))
        # Built in the traced step, ScheduleFreeAdamW would be begun again at every step.
        model.optimizer.build(model.trainable_variables)
        validation = _fit_rows(problem, fold, split.validation)
        for epoch in range(trial.epochs):
            order = draw_epoch_order(derive_order_seed(split.train), epoch, len(split.train))
            x, y, weights = _fit_rows(problem, fold, split.train[order])
            logs = model.fit(
                x,
                y,
                sample_weight=weights,
                batch_size=batch_size(params),
                shuffle=False,
                validation_data=validation,
                validation_batch_size=len(split.validation),  # of one size: traced once
                verbose=0,
            ).history
            curves["train/loss"][epoch, fold] = logs["loss"][0]
            curves["val/loss"][epoch, fold] = logs["val_loss"][0]
    return curves


def _fit_rows(problem: Problem, fold: int, rows: np.ndarray) -> tuple[Any, Any, Any]:
    statistics = problem.statistics[fold]
    y = (problem.target[rows] - statistics.target_center) / statistics.target_scale
    weights = None if problem.weights is None else problem.weights[rows]
    return statistics.apply(problem.features[rows]), y, weights


class TrainerContract:
    """The tests of the protocol in `hpsearch.training.trainer`."""

    trainers: dict[tuple[str, int], Trainer]

    def make_trainer(self, problem: Problem) -> Trainer:
        """The trainer under test."""
        raise NotImplementedError

    def trainer(self, problem: Problem) -> Trainer:
        """One trainer a problem: it lives through many trials, as it does in a worker."""
        key = (type(self).__name__, id(problem))
        if not hasattr(TrainerContract, "trainers"):
            TrainerContract.trainers = {}
        if key not in TrainerContract.trainers:
            TrainerContract.trainers[key] = self.make_trainer(problem)
        return TrainerContract.trainers[key]

    def result(self, problem: Problem, trial: TrialSpec) -> TrialResult:
        """How `trial` alone ends."""
        return run(self.trainer(problem), [trial])[1][trial.number]

    def test_the_same_seed_gives_the_same_result_bit_for_bit(self) -> None:
        first = self.result(separable(), spec(seed=5, dropout=0.3))
        self.result(separable(), spec(seed=6, dropout=0.3))
        again = self.result(separable(), spec(seed=5, dropout=0.3))
        assert same(first, again)

    def test_a_new_trainer_gives_the_same_result_bit_for_bit(self) -> None:
        first = self.result(separable(), spec(seed=5, dropout=0.3))
        again = run(self.make_trainer(separable()), [spec(seed=5, dropout=0.3)])[1][0]
        assert same(first, again)

    def test_another_seed_gives_another_result(self) -> None:
        first = self.result(separable(), spec(seed=5))
        other = self.result(separable(), spec(seed=6))
        assert not np.array_equal(first.curves["train/loss"], other.curves["train/loss"])

    def test_another_learning_rate_gives_another_result(self) -> None:
        first = self.result(separable(), spec())
        other = self.result(separable(), spec(learning_rate=0.01))
        assert not np.array_equal(first.curves["train/loss"], other.curves["train/loss"])

    def test_every_epoch_is_reported_with_a_figure_for_every_fold(self) -> None:
        reports, results = run(self.trainer(separable()), [spec(number=7, epochs=3)])
        assert [(7, 0), (7, 1), (7, 2)] == [(r.trial, r.epoch) for r in reports]
        names = {"train/loss", "val/loss", *(f"val/{m}" for m in separable().metrics)}
        for report in reports:
            assert (N_FOLDS,) == report.scores.shape
            assert names == report.metrics.keys()
            assert {(N_FOLDS,)} == {v.shape for v in report.metrics.values()}
            np.testing.assert_array_equal(report.scores, report.metrics["val/roc_auc"])
        assert names == results[7].curves.keys()
        for epoch, report in enumerate(reports):
            for name, figures in report.metrics.items():
                np.testing.assert_array_equal(figures, results[7].curves[name][epoch])

    def test_a_stopped_trial_is_pruned_and_the_others_go_on(self) -> None:
        trials = [spec(number=n, seed=n, epochs=5) for n in range(3)]
        _, results = run(self.trainer(separable()), trials, lambda r: (r.trial, r.epoch) == (1, 1))
        assert ["COMPLETE", "PRUNED", "COMPLETE"] == [results[n].state for n in range(3)]
        assert [5, 2, 5] == [len(results[n].curves["val/loss"]) for n in range(3)]

    def test_trials_of_different_epochs_each_end_after_their_own(self) -> None:
        trials = [spec(number=n, seed=3, epochs=n) for n in (1, 3, 2)]
        trials = [replace(t, params={**t.params, "epochs": t.epochs}) for t in trials]
        _, results = run(self.trainer(separable()), trials)
        for n in (1, 2, 3):
            assert "COMPLETE" == results[n].state
            assert n == len(results[n].curves["val/loss"])
            np.testing.assert_array_equal(
                results[3].curves["val/loss"][:n], results[n].curves["val/loss"]
            )

    def test_a_trial_waits_at_its_rung_and_trains_nothing_beyond_it(self) -> None:
        held = replace(spec(epochs=6), rungs=(2, 4))
        _, results = run(self.trainer(separable()), [held])
        free = self.result(separable(), spec(epochs=6))
        for name, curve in free.curves.items():
            np.testing.assert_array_equal(curve, results[0].curves[name])
        _, results = run(self.trainer(separable()), [held], lambda r: r.epoch == 1)
        assert ("PRUNED", 2) == (results[0].state, len(results[0].curves["val/loss"]))

    def test_a_trial_scores_the_same_alone_and_among_others(self) -> None:
        trials = [spec(number=n, seed=n, learning_rate=0.01 * (n + 1)) for n in range(3)]
        _, together = run(self.trainer(separable()), trials)
        alone = self.result(separable(), trials[1])
        for name, curve in alone.curves.items():
            np.testing.assert_allclose(curve, together[1].curves[name], rtol=1e-4, atol=1e-6)

    def test_early_stopping_ends_a_trial_whose_mean_no_longer_improves(self) -> None:
        problem = replace(noise(), early_stopping=EarlyStopping(patience=2))
        result = self.result(problem, spec(epochs=40, learning_rate=0.1))
        assert result.best_epoch is not None
        assert result.best_epoch + 3 == len(result.curves["val/loss"])

    def test_a_fold_stopped_on_its_own_curve_is_frozen(self) -> None:
        problem = replace(noise(), early_stopping=EarlyStopping(patience=1, scope="fold"))
        result = self.result(problem, spec(epochs=40, learning_rate=0.1))
        curve = result.curves["val/log_loss"]
        assert len(curve) < 40
        for fold in curve.T:
            worse = int(np.argmax(np.diff(fold) >= 0)) + 1
            np.testing.assert_array_equal(fold[worse], fold[worse:])

    def test_the_score_is_that_of_the_best_epoch_of_the_mean_curve(self) -> None:
        result = self.result(noise(), spec(epochs=12, learning_rate=0.05))
        curve = result.curves["val/log_loss"]
        assert best_epoch(curve, "minimize") == result.best_epoch
        assert result.best_epoch is not None
        assert result.best_epoch < 11
        folds = curve[result.best_epoch]
        np.testing.assert_array_equal(folds, result.fold_scores)
        np.testing.assert_allclose((folds.mean(), folds.std()), (result.score, result.spread))

    def test_out_of_fold_predictions_are_those_of_the_best_epoch(self) -> None:
        problem = noise()
        result = self.result(problem, spec(epochs=12, learning_rate=0.05))
        assert result.predictions is not None
        scores = [
            METRICS["log_loss"](problem.target[f.validation], result.predictions[f.validation])
            for f in problem.folds
        ]
        np.testing.assert_allclose(scores, result.fold_scores, rtol=1e-5)

    def test_linear_data_gives_r2_near_1_in_the_original_unit(self) -> None:
        problem = linear()
        result = self.result(problem, spec(layers=0, epochs=60, learning_rate=0.05))
        assert result.score is not None
        assert result.score > 0.99
        assert result.predictions is not None
        np.testing.assert_allclose(problem.target.mean(), result.predictions.mean(), rtol=0.01)
        assert result.curves["val/rmse"][result.best_epoch].mean() < problem.target.std() / 10

    def test_a_transformed_target_is_learned_so_and_told_in_its_own_unit(self) -> None:
        """As the transformed target is learned without us."""
        problem = replace(linear(), target=np.exp(linear().target / 2000))
        logs = np.log(problem.target)
        fitted = tuple(
            statistics_of(problem.features[f.train], logs[f.train], "regression")
            for f in problem.folds
        )
        told = replace(problem, statistics=fitted, target_transforms=("log",))
        trial = spec(epochs=4, layers=0)
        found = self.result(told, trial)
        expected = self.result(replace(told, target=logs, target_transforms=()), trial)
        for name in ("train/loss", "val/loss"):
            np.testing.assert_allclose(expected.curves[name], found.curves[name], rtol=1e-4)
        assert found.best_epoch == 3 == expected.best_epoch
        assert expected.predictions is not None
        np.testing.assert_allclose(np.exp(expected.predictions), found.predictions, rtol=1e-4)
        for fold, rows in enumerate(f.validation for f in problem.folds):
            rmse = METRICS["rmse"](problem.target[rows], np.exp(expected.predictions[rows]))
            np.testing.assert_allclose(rmse, found.curves["val/rmse"][3, fold], rtol=1e-4)

    def test_separable_data_gives_auc_near_1(self) -> None:
        result = self.result(separable(), spec(epochs=20))
        assert result.score is not None
        assert result.score > 0.98

    def test_three_clouds_are_told_apart(self) -> None:
        result = self.result(three_classes(), spec(epochs=20))
        assert result.score is not None
        assert result.score > 0.95
        assert result.predictions is not None
        np.testing.assert_allclose(result.predictions.sum(axis=1), 1, rtol=1e-5)

    def test_each_of_several_labels_is_learned(self) -> None:
        problem = three_labels()
        result = self.result(problem, spec(epochs=20))
        assert result.score is not None
        assert result.score > 0.95
        assert result.predictions is not None
        assert result.predictions.shape == (120, 3)
        assert not np.allclose(result.predictions.sum(axis=1), 1)
        for name in problem.metrics:
            for fold, rows in enumerate(f.validation for f in problem.folds):
                found = result.curves[f"val/{name}"][result.best_epoch, fold]
                expected = problem.get_metric(name)(problem.target[rows], result.predictions[rows])
                np.testing.assert_allclose(expected, found, rtol=1e-5)

    def test_each_of_several_numbers_is_learned_in_its_own_unit(self) -> None:
        problem = two_numbers()
        result = self.result(problem, spec(layers=0, epochs=60, learning_rate=0.05))
        assert result.predictions is not None
        error = (result.predictions - problem.target).std(axis=0) / problem.target.std(axis=0)
        assert (error < 0.1).all()
        assert result.score is not None
        assert result.score > 0.99

    def test_rows_of_no_weight_neither_teach_nor_count(self) -> None:
        problem = linear()
        target, weights = problem.target.copy(), np.ones(len(problem.target), np.float32)
        target[5::10], weights[5::10] = -90000, 0
        spoilt = replace(problem, target=target, weights=weights)
        result = self.result(spoilt, spec(layers=0, epochs=60, learning_rate=0.05))
        assert result.score is not None
        assert result.score > 0.99

    def test_a_diverging_learning_rate_is_a_failure(self) -> None:
        trial = spec(optimizer="sgd", learning_rate=1e20)
        result = self.result(linear(), trial)
        assert "FAILED" == result.state
        assert result.score is None
        assert result.error is not None
        assert "diverged" in result.error

    def test_a_model_that_raises_is_a_failure_with_its_traceback(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.py"
        file.write_text("def build(params, inputs, outputs):\n    raise RuntimeError('no GPU')\n")
        problem = replace(separable(), model=f"{file}:build")
        _, results = run(self.make_trainer(problem), [spec(number=0), spec(number=1)])
        assert ["FAILED", "FAILED"] == [results[n].state for n in range(2)]
        assert "RuntimeError: no GPU" == results[0].error
        assert "mine.py" in (results[0].traceback or "")

    def test_a_dead_network_is_a_failure(self, tmp_path: Path) -> None:
        file = tmp_path / "dead.py"
        file.write_text(
            "import keras\n"
            "def build(params, inputs, outputs):\n"
            "    first = keras.Input(inputs)\n"
            "    bias = keras.initializers.Constant(-1e6)\n"
            "    x = keras.layers.Dense(4, 'relu', bias_initializer=bias)(first)\n"
            "    x = keras.layers.Dense(outputs.units, outputs.activation)(x)\n"
            "    return keras.Model(first, x)\n"
        )
        problem = replace(separable(), model=f"{file}:build")
        result = run(self.make_trainer(problem), [spec(epochs=2)])[1][0]
        assert "FAILED" == result.state
        assert "constant" in (result.error or "")

    def test_fixed_hyperparameters_count(self) -> None:
        small = self.result(separable(), spec(epochs=1))
        problem = replace(separable(), fixed_params={"units": 16})
        params = {k: v for k, v in PARAMS.items() if k != "units"}
        trial = TrialSpec(0, params, seed=0, epochs=1)
        assert (
            small.n_parameters,
            self.result(problem, trial).n_parameters,
        ) == (6 * 8 + 9, 6 * 16 + 17)

    def test_a_trial_sees_the_rows_as_its_scaling_says(self) -> None:
        """Beside trials of another scaling, as on rows that were scaled beforehand."""
        problem = first_fold(linear())
        schema = Schema(
            tuple(Column(name, "numeric") for name in "abcd"), Target("y", "regression")
        )
        rows = problem.features, problem.target, problem.folds[0].train
        fitted = {
            how: (fit_statistics(schema, *rows, scaling=how),)
            for how in ("robust_clip", "quantile")
        }
        varied = replace(
            problem, statistics_by_scaling=fitted, fixed_params={"scaling": "robust_clip"}
        )
        trials = [spec(), spec(1, scaling="quantile")]
        _, results = run(self.make_trainer(varied), trials)
        for number, how in enumerate(fitted):
            features = fitted[how][0].apply(problem.features)
            identity = replace(
                problem.statistics[0],
                impute=np.zeros(4, np.float32),
                center=np.zeros(4, np.float32),
                scale=np.ones(4, np.float32),
            )
            plain = replace(problem, features=features, statistics=(identity,))
            _, alone = run(self.make_trainer(plain), [spec(number)])
            for name, curve in alone[number].curves.items():
                np.testing.assert_allclose(results[number].curves[name], curve, rtol=1e-3)
        assert abs(results[0].fold_scores[0] - results[1].fold_scores[0]) > 1e-3

    def test_bytes_are_trained_as_the_numbers_that_they_are(self) -> None:
        problem = first_fold(images())
        assert np.uint8 == problem.features.dtype
        bytes_ = run(self.make_trainer(problem), [spec(epochs=8)])[1][0]
        numbers = replace(problem, features=problem.features.astype(np.float32))
        assert same(bytes_, run(self.make_trainer(numbers), [spec(epochs=8)])[1][0])
        assert bytes_.score is not None
        assert bytes_.score > 0.95

    def test_rows_that_are_sequences_are_learned(self) -> None:
        params = {"units": 8, "batch_size": 16, "learning_rate": 0.03}
        trial = TrialSpec(0, params, seed=1, epochs=30)
        result = self.result(first_fold(sequences()), trial)
        assert (None, "COMPLETE") == (result.error, result.state)
        assert result.score is not None
        assert result.score > 0.8
        assert result.predictions is not None
        answer = answer_of(
            first_fold(sequences()),
            trial,
            self.trainer(first_fold(sequences())).fit(
                replace(trial, epochs=(result.best_epoch or 0) + 1)
            ),
        )
        scored = result.predictions[sequences().folds[0].validation]
        np.testing.assert_allclose(scored, answer, rtol=1e-4)

    def test_windows_are_trained_as_the_rows_that_they_gather(self) -> None:
        rng = np.random.default_rng(8)
        table = rng.normal(size=(124, 2)).astype(np.float32)
        places = np.arange(120, dtype=np.int32)
        windows = Windows(4, places + 3, places + 4)
        target = table[windows.predicted_rows, :1] + table[windows.last_rows, 1:]
        gathered = first_fold(problem_of("regression", "r2", table[:120], target))
        vectors = (table.mean(axis=0) * 0, table.mean(axis=0), 1 / table.std(axis=0))
        shift, unit = gathered.statistics[0].target_center, gathered.statistics[0].target_scale
        fitted = Statistics(*(v.astype(np.float32) for v in vectors), shift, unit)
        gathered = replace(
            gathered, features=windows.take(table, places), statistics=(fitted,), model="recurrent"
        )
        params = {"units": 4, "batch_size": 16, "learning_rate": 0.03}
        trial = TrialSpec(0, params, seed=1, epochs=3)
        expected = run(self.make_trainer(gathered), [trial])[1][0]
        problem = replace(gathered, features=table, windows=windows)
        assert (4, 2) == problem.row_shape
        result = run(self.make_trainer(problem), [trial])[1][0]
        assert (None, "COMPLETE") == (result.error, result.state)
        for name, curve in expected.curves.items():
            np.testing.assert_allclose(curve, result.curves[name], rtol=1e-5)

    def test_the_final_fit_needs_no_validation_rows(self) -> None:
        problem = linear()
        rows = np.arange(len(problem.target))
        statistics = statistics_of(problem.features, problem.target, "regression")
        last = replace(
            problem,
            folds=(Split(rows, np.empty(0, np.int64)),),
            statistics=(statistics,),
        )
        trial = spec(layers=0, epochs=60, learning_rate=0.05)
        weights = self.make_trainer(last).fit(trial)
        judged = replace(last, folds=(Split(rows, rows),))
        assert METRICS["r2"](problem.target, answer_of(judged, trial, weights)) > 0.99

    def test_what_is_fitted_is_what_was_scored(self) -> None:
        problem = separable()
        trial = spec(epochs=4, dropout=0.2, normalization="batch", optimizer="adam")
        result = self.result(problem, trial)
        assert result.best_epoch is not None
        assert result.predictions is not None
        again = replace(trial, epochs=result.best_epoch + 1)
        answer = answer_of(problem, trial, self.trainer(problem).fit(again))
        scored = result.predictions[problem.folds[0].validation]
        np.testing.assert_allclose(scored, answer, rtol=1e-4, atol=1e-6)

    def test_averaged_weights_are_scored_because_they_are_served(self) -> None:
        problem = separable()
        trial = spec(epochs=4, use_ema=True, ema_momentum=0.9)
        result = self.result(problem, trial)
        assert result.best_epoch is not None
        assert result.predictions is not None
        again = replace(trial, epochs=result.best_epoch + 1)
        answer = answer_of(problem, trial, self.trainer(problem).fit(again))
        scored = result.predictions[problem.folds[0].validation]
        np.testing.assert_allclose(scored, answer, rtol=1e-4, atol=1e-6)
