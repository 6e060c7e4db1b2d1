"""Calibration of the winner's probabilities and intervals on out-of-fold predictions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops

import hpsearch
from hpsearch.data import prediction_intervals
from hpsearch.data.columns import Target
from hpsearch.data.schema import Schema
from hpsearch.data.split import Split
from hpsearch.history import load_history
from hpsearch.models.temperature import scale_by_temperature
from hpsearch.promotion.served_model import ServedModel
from hpsearch.study.winner.calibration import choose_temperature, row_log_loss
from hpsearch.training.problem import Problem

from .conftest import invoke

N_ROWS = 1200


def make_problem(target: np.ndarray, task: str) -> Problem:
    rows = np.arange(len(target))
    folds = tuple(Split(rows[rows % 4 != k], rows[rows % 4 == k]) for k in range(4))
    return Problem(
        task=task,  # type: ignore[arg-type]
        features=np.zeros((len(target), 1), np.float32),
        target=target.astype(np.float32),
        folds=folds,
        statistics=(),
        objective="log_loss",
        metrics=("log_loss",),
    )


def draw(task: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and the probabilities by which they were drawn."""
    rng = np.random.default_rng(seed)
    if task == "binary":
        probabilities = rng.uniform(0.02, 0.98, (N_ROWS, 1))
        return (rng.random((N_ROWS, 1)) < probabilities).astype(float), probabilities
    probabilities = rng.dirichlet([1.0, 1.0, 2.0], N_ROWS)
    return np.eye(3)[[rng.choice(3, p=p) for p in probabilities]], probabilities


@pytest.mark.parametrize("task", ["binary", "multiclass"])
@pytest.mark.parametrize("wrong", [0.4, 2.5])
def test_the_temperature_by_which_probabilities_are_wrong_is_found(task: str, wrong: float) -> None:
    truth, right = draw(task)
    problem = make_problem(truth, task)
    given = scale_by_temperature(np, right, 1 / wrong)
    found = choose_temperature(problem, given)
    assert wrong == pytest.approx(found, rel=0.25)
    before, after = (row_log_loss(truth, p).mean() for p in (given, right))
    served = row_log_loss(truth, scale_by_temperature(np, given, found)).mean()
    assert served < before - 0.8 * (before - after)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_probabilities_that_are_right_are_kept(task: str) -> None:
    kept = [choose_temperature(make_problem(*(t, task)), p) for t, p in (draw(task, 1), draw(task))]
    assert [1.0, 1.0] == kept


def test_a_row_of_weight_zero_has_no_say() -> None:
    truth, right = draw("binary")
    given = scale_by_temperature(np, right, 1 / 3)
    weights = np.ones(N_ROWS, np.float32)
    weights[::2] = 0
    alone = make_problem(truth, "binary")
    weighted = replace(alone, weights=weights)
    other = given.copy()
    other[::2] = 1 - other[::2]
    assert choose_temperature(weighted, given) == choose_temperature(weighted, other)
    assert choose_temperature(alone, given) != choose_temperature(alone, other)


def test_keras_divides_logits_as_numpy_does_also_where_they_are_certain() -> None:
    some = np.array([[0.0], [1e-9], [0.2], [0.5], [1 - 1e-7], [1.0]], np.float32)
    classes = np.concatenate([some / 2, some / 2, 1 - some], axis=1)
    for table in (some, classes):
        for temperature in (0.3, 1.0, 4.0):
            expected = scale_by_temperature(np, table, temperature)
            answer = ops.convert_to_numpy(
                scale_by_temperature(ops, ops.convert_to_tensor(table), temperature)
            )
            np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-7)
            assert np.isfinite(answer).all()
    np.testing.assert_allclose(
        scale_by_temperature(np, some[2:4], 2.0)[:, 0],
        1 / (1 + np.exp(-np.log([0.25, 1.0]) / 2)),
        rtol=1e-6,
    )


def tune(root: Path, name: str, target: np.ndarray, x: np.ndarray, **more: object) -> object:
    table = pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=target)
    table.to_csv(root / f"{name}.csv", index=False)
    spec = {
        "study": name,
        "data": {"source": str(root / f"{name}.csv"), "target": "y", "test_fraction": 0.3},
        "cross_validation": {"folds": 3},
        "training": {"epochs": 30},
        "search_space": {"units": 16, "learning_rate": 0.02, "label_smoothing": 0.4},
        "selection": {"finalists": 0},
        "budget": {"trials": 1},
        **more,
    }
    return hpsearch.tune(spec, root=root)


@pytest.mark.usefixtures("inline_workers")
def test_what_was_calibrated_is_what_is_saved_tested_resumed_promoted_and_predicted(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(400, 3)).astype(np.float32)
    labels = np.where(x[:, 0] + rng.normal(0, 0.2, 400) > 0, "yes", "no")
    result = tune(tmp_path, "unsure", labels, x)  # of smoothed labels: too little sure
    assert isinstance(result, hpsearch.StudyResult)
    assert result.calibration.temperature < 0.8
    assert result.coverage is not None
    assert 0.8 < result.coverage.share <= 1
    assert result.as_json()["temperature"] == result.calibration.temperature
    table = pd.read_csv(tmp_path / "unsure.csv")
    answers = result.predict(table, interval=0.9)
    probable = result.predict_proba(table)
    sets = [json.loads(text) for text in answers["set"]]
    least = next(p for level, p in result.calibration.bounds if level == 0.9)
    for held, row in zip(sets, probable.itertuples(index=False), strict=True):
        expected = [c for c, p in zip(("no", "yes"), row, strict=True) if p >= least]
        assert held == expected or (not expected and 1 == len(held))
    with np.load(result.folder / "final" / "predictions.npz") as file:
        held_truth, held_answers = file["truth"], file["prediction"]
    assert row_log_loss(held_truth, held_answers).mean() == pytest.approx(result.test["log_loss"])
    model = keras.models.load_model(result.model_path, compile=False)
    columns = result.model.schema.clean(table)
    np.testing.assert_allclose(model.predict(columns, verbose=0)[:, 0], probable["yes"], atol=1e-6)

    again = hpsearch.tune(load_history(result.journal).study.spec, root=tmp_path)
    assert again.calibration == result.calibration
    assert again.reads == result.reads == 1

    hpsearch.promote("unsure", "sure@champion", root=tmp_path)
    source, out = tmp_path / "unsure.csv", tmp_path / "out.csv"
    invoke(tmp_path, "predict", "sure@champion", source, "-o", out, "--interval", 0.9)
    written = pd.read_csv(out)
    pd.testing.assert_frame_equal(written, result.model.answer(table, interval=0.9))


def test_numbers_are_served_between_low_and_high() -> None:
    served = ServedModel()
    target = Target("y", "regression", transform="log", bounds=((0.5, -1.0, 2.0),))
    served.schema, served.code = Schema((), target), {"prediction_intervals": prediction_intervals}
    scores = np.array([[1.0], [10.0]])
    answers = served._name_scores(scores, served._find_bound(0.5))
    assert ["prediction", "low", "high"] == list(answers)
    np.testing.assert_allclose(answers["low"], scores[:, 0] * np.exp(-1))
    np.testing.assert_allclose(answers["high"], scores[:, 0] * np.exp(2))
    assert ["prediction"] == list(served._name_scores(scores, served._find_bound(None)))


@pytest.mark.usefixtures("inline_workers")
def test_each_of_several_targets_has_intervals_of_its_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 3)).astype(np.float32)
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    table["near"] = x[:, 0] + rng.normal(0, 0.1, 300)
    table["far"] = np.exp(x[:, 1] + rng.normal(0, 1, 300))
    source = tmp_path / "two.csv"
    table.to_csv(source, index=False)
    columns = {"far": {"transform": "log"}}
    result = hpsearch.tune(
        {
            "study": "two",
            "data": {
                "source": str(source),
                "target": ["near", "far"],
                "test_fraction": 0.3,
                "columns": columns,
            },
            "cross_validation": {"folds": 3},
            "training": {"epochs": 30},
            "search_space": {"units": 16, "learning_rate": 0.02},
            "selection": {"finalists": 0},
            "budget": {"trials": 1},
        },
        root=tmp_path,
    )
    assert result.coverage is not None
    assert ["near", "far"] == [output.name for output in result.coverage.outputs]
    answers = result.predict(table, interval=0.9)
    names = [f"{kind}_{name}" for name in ("near", "far") for kind in ("prediction", "low", "high")]
    assert names == list(answers)
    with np.load(result.folder / "final" / "predictions.npz") as file:
        truth = file["truth"]
    bound = prediction_intervals.bound_of_level(result.calibration.bounds, 0.9)
    held = [
        (low <= true) & (true <= high)
        for k, (true, guess, transform) in enumerate(
            zip(truth.T, read_predictions(result.folder).T, ("", "log"), strict=True)
        )
        for low, high in [prediction_intervals.compute_intervals(guess, bound, transform, k)]
    ]
    assert [o.share for o in result.coverage.outputs] == pytest.approx([h.mean() for h in held])
    assert all(0.8 < h.mean() <= 1 for h in held)
    assert (answers["low_far"] > 0).all()
    assert load_history(result.journal).final.coverage == result.coverage


def read_predictions(folder: Path) -> np.ndarray:
    with np.load(folder / "final" / "predictions.npz") as file:
        return file["prediction"].astype(np.float64)


def test_a_level_is_checked_before_any_row_is_read_and_an_old_model_is_named() -> None:
    from hpsearch.errors import PromotionError
    from hpsearch.promotion.reference import parse_reference
    from hpsearch.promotion.scoring import _require_interval

    class Served:
        class schema:  # noqa: N801
            target = Target("y", "regression", bounds=((0.5, -1.0, 1.0), (0.51, -1.1, 1.2)))

    name = parse_reference("houses@champion")
    _require_interval(Served, name, None)
    _require_interval(Served, name, 0.51)
    with pytest.raises(PromotionError, match=r"houses@champion: --interval 0\.9: .*0\.5 to 0\.51"):
        _require_interval(Served, name, 0.9)
    Served.schema.target = object()  # type: ignore[assignment]
    with pytest.raises(PromotionError, match="an earlier version"):
        _require_interval(Served, name, 0.9)
