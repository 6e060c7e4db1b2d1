"""A forecast from the study to the predictions of its model, and its baselines by hand."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from keras.saving import load_model

import hpsearch
from hpsearch.data.columns import Target
from hpsearch.data.loading import load
from hpsearch.errors import SpecError
from hpsearch.promotion import parse_reference, promote_run
from hpsearch.promotion.scoring import predict_file
from hpsearch.spec.data_spec import DataSpec
from hpsearch.spec.study_file import load_dict
from hpsearch.study.validation import check_study
from hpsearch.study.winner.forecast_baselines import LagInputs, _list_fits
from hpsearch.study.winner.output_scores import compute_output_scores
from hpsearch.tracking.store import open_store
from hpsearch.training.metrics import get_metric

LEVELS = [0.1, 0.5, 0.9]


def outputs(steps: list[int], levels: list[float]) -> Target:
    parts = [
        Target(f"y_h{h}_q{q}", "regression", step=h, quantile=q) for h in steps for q in levels
    ]
    return Target("y", "regression", parts=tuple(parts))


def test_naive_baselines_repeat_the_last_value_and_the_last_season() -> None:
    lags = np.arange(30.0).reshape(3, 10)  # the last values are 9, 19 and 29
    inputs, target = LagInputs(lags, np.zeros((3, 1), np.float32)), np.zeros((3, 4))
    parts = tuple(Target(f"y_h{h}", "regression", step=h) for h in (1, 4, 5, 9))
    found = {n: fit(inputs, target)(inputs) for n, fit in _list_fits(parts, 4, 10).items()}
    assert [[9.0] * 4, [19.0] * 4, [29.0] * 4] == found["last_value"].tolist()
    # Of a season of 4, one and nine steps ahead is 3 rows before the last, 4 ahead the last.
    assert [6.0, 9.0, 6.0, 6.0] == found["seasonal_naive"][0].tolist()
    assert "seasonal_naive" not in _list_fits(parts, 11, 10)


def test_a_baseline_has_the_quantiles_of_its_errors() -> None:
    rng = np.random.default_rng(0)
    lags = rng.normal(size=(500, 2))
    target = lags[:, -1:] + rng.normal(size=(500, 1))
    target = np.repeat(target, 3, axis=1)
    parts = outputs([1], LEVELS).outputs
    inputs = LagInputs(lags, np.zeros((500, 1), np.float32))
    answer = _list_fits(parts, 0, 2)["last_value"](inputs, target)(inputs)
    shift = np.quantile(target[:, 0] - lags[:, -1], LEVELS)
    np.testing.assert_allclose(lags[:, -1:] + shift, answer)


def test_scores_of_steps_and_coverage_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(rng.normal(size=(50, 2)), 3, axis=1)
    guess = rng.normal(size=(50, 6))
    metric = get_metric("pinball_10_50_90", "regression")
    found = compute_output_scores(metric, outputs([1, 5], LEVELS), truth, guess)
    held = [[t[k] <= g[k] for k in (0, 3)] for t, g in zip(truth, guess, strict=True)]
    inside = [g[k] <= t[k] <= g[k + 2] for t, g in zip(truth, guess, strict=True) for k in (0, 3)]
    crossed = [not g[k] <= g[k + 1] <= g[k + 2] for g in guess for k in (0, 3)]
    assert found["below_q0.1"] == pytest.approx(np.mean(held))
    assert found["coverage_q0.1_q0.9"] == pytest.approx(np.mean(inside))
    assert found["crossing"] == pytest.approx(np.mean(crossed))
    assert found["pinball_10_50_90_h5"] == pytest.approx(metric(truth[:, 3:], guess[:, 3:]))


def rhythm() -> pd.DataFrame:
    """Two shops with a weekly rhythm; `promo` lifts the sales of its own day."""
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=150)
    parts = []
    for shop, level in (("a", 10.0), ("b", 12.0)):
        promo = rng.integers(0, 2, 150)
        sales = level + 3 * np.sin(np.arange(150) * 2 * np.pi / 7) + 4 * promo
        sales = (sales + rng.normal(0, 0.2, 150)).round(3)
        frame = {"day": days.strftime("%Y-%m-%d"), "shop": shop, "promo": promo, "sales": sales}
        parts.append(pd.DataFrame(frame))
    return pd.concat(parts).sort_values(["day", "shop"], ignore_index=True)


@pytest.mark.long
@pytest.mark.usefixtures("inline_workers")
@pytest.mark.parametrize("trainer", ["vectorized", "keras_fit"])
def test_a_forecast_is_served_as_it_was_scored(
    trainer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several steps, series and quantiles at once, with a column that is known ahead."""
    monkeypatch.chdir(tmp_path)
    frame = rhythm()
    frame.to_csv("shops.csv", index=False)
    result = hpsearch.tune(
        {
            "study": "shops",
            "data": {
                "source": "shops.csv",
                "target": "sales",
                "forecast": {
                    "horizons": [1, 2],
                    "history": 8,
                    "time": "day",
                    "series": "shop",
                    "known": ["promo", "day"],
                },
                "quantiles": LEVELS,
                "columns": {"shop": {"kind": "categorical"}},
            },
            "cross_validation": {"kind": "time_series", "folds": 2},
            "training": {"epochs": 30, "trainer": trainer},
            "search_space": {"layers": 1, "learning_rate": [0.01, 0.02], "batch_size": 16},
            "budget": {"trials": 2},
            "selection": {"finalists": 0},
        },
        workers=1,
    )
    assert "pinball_10_50_90" == result.objective
    naive = {b.name: b for b in result.baselines}
    assert {"last_value", "seasonal_naive", "linear_on_lags"} == naive.keys()
    assert all(b.fold_score is not None for b in naive.values())
    for name in ("pinball_10_50_90", "pinball_10_50_90_h2"):
        assert result.test[name] < naive["seasonal_naive"].metrics[name]
    client = open_store(result.tracking_uri)
    logged = client.get_run(str(result.run_id)).data.metrics
    assert result.test["pinball_10_50_90_h2"] == logged["test/pinball_10_50_90_h2"]
    assert "baseline/seasonal_naive/coverage_q0.1_q0.9" in logged
    promote_run(client, str(result.run_id), parse_reference("shops@champion"))
    load_model(result.model_path, safe_mode=True)
    answers = answers_of(client, frame, tmp_path / "new.csv")
    assert [f"prediction_sales_h{h}_q{q}" for h in (1, 2) for q in LEVELS] == list(answers)
    with np.load(result.model_path.parent / "predictions.npz") as file:
        scored = file["prediction"]
    # The last two days of both shops have no future yet.
    assert answers[-4:].isna().all(axis=None)
    served = answers[-4 - len(scored) : -4]
    np.testing.assert_allclose(scored, served, rtol=1e-4, atol=1e-4)


def answers_of(client: object, frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    frame.to_csv(path, index=False)
    output = io.StringIO()
    predict_file(client, parse_reference("shops@champion"), path, output)
    return pd.read_csv(io.StringIO(output.getvalue()))


def test_quantiles_have_names_for_their_metric() -> None:
    assert "pinball_5_50_95" == DataSpec(quantiles=[0.95, 0.05, 0.5]).pinball_metric
    assert DataSpec().pinball_metric is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": {"metric": "rmse"}}, "objective.metric: data.quantiles are scored by"),
        (
            {"data": {"source": "a.csv"}, "objective": {"metric": "pinball_10_90"}},
            "pinball_10_90 scores several quantiles: data.quantiles: [0.1, 0.9]",
        ),
        (
            {"search_space": {"loss": ["huber", "log_cosh"]}},
            "data.quantiles have their loss, pinball_10_90: leave it out",
        ),
    ],
)
def test_quantiles_have_their_own_loss_and_metric(changes: dict, message: str) -> None:
    data = {"source": "a.csv", "target": "y", "quantiles": [0.1, 0.9]}
    with pytest.raises(SpecError) as error:
        check_study(load_dict({"data": data, "search_space": {"units": 4}, **changes}))
    assert message in str(error.value)


def test_quantiles_of_rows_without_order_have_outputs_too() -> None:
    frame = rhythm().assign(x=lambda f: np.arange(len(f)) * 1.5)
    frame = frame.drop(columns=["day", "shop"])
    given = DataSpec(target="sales", quantiles=LEVELS, columns={"sales": {"transform": "log1p"}})
    dataset = load(given, task=None, cross_validation=None, seed=0, folder=Path(), arrays=frame)
    target = dataset.schema.target
    assert target is not None
    assert ("sales_q0.1", "sales_q0.5", "sales_q0.9") == target.names
    assert ("promo", "x") == dataset.schema.feature_names
    assert ("log1p",) * 3 == target.transforms
