"""A whole study on a time series, and predictions for its next rows."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hpsearch
from hpsearch.promotion import parse_reference, promote_run, row_file
from hpsearch.promotion.scoring import predict_file
from hpsearch.tracking.store import open_store


def towns(rule: Callable[[np.ndarray], np.ndarray]) -> pd.DataFrame:
    """Two series, hour by hour: `x` is drawn, `y` is the rule's of each series' `x`."""
    rng = np.random.default_rng(0)
    parts = []
    for town in ("a", "b"):
        x = rng.normal(size=200)
        parts.append(pd.DataFrame({"hour": np.arange(200), "town": town, "x": x, "y": rule(x)}))
    return pd.concat(parts).sort_values(["hour", "town"], ignore_index=True)


def spec(**data: object) -> dict:
    return {
        "study": "hours",
        "data": {"source": "hours.csv", "target": "y", **data},
        "cross_validation": {"kind": "time_series", "time": "hour", "folds": 2},
        "model": "mlp",
        "training": {"epochs": 25},
        "search_space": {"layers": 1, "learning_rate": [0.02, 0.03], "batch_size": 16},
        "budget": {"trials": 2},
        "selection": {"finalists": 0},
    }


def answers_of(client: object, path: Path) -> pd.DataFrame:
    output = io.StringIO()
    counts = predict_file(client, parse_reference("hours@champion"), path, output)
    table = pd.read_csv(io.StringIO(output.getvalue()), dtype={"label": str})
    assert counts.rows == len(table)
    return table


@pytest.mark.usefixtures("inline_workers")
def test_a_series_becomes_a_model_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is served of the locked rows is what was scored, whatever the series between them."""
    monkeypatch.chdir(tmp_path)
    frame = towns(lambda x: np.convolve(x, [0.0, 3.0, 1.0])[:200])  # of the two rows before
    frame.to_csv("hours.csv", index=False)
    windows = {"rows": 3, "by": "town", "horizon": 1, "include_target": True}
    result = hpsearch.tune(spec(windows=windows), workers=1)
    assert result.test["r2"] > 0.95
    client = open_store(result.tracking_uri)
    promote_run(client, str(result.run_id), parse_reference("hours@champion"))
    coming = frame.copy()
    coming.loc[398:, ["x", "y"]] = np.nan  # the next hour: nothing of it is known yet
    coming.to_csv("coming.csv", index=False)
    answers = answers_of(client, tmp_path / "coming.csv")["prediction"]
    assert 400 == len(answers)
    assert list(range(6)) == np.flatnonzero(answers.isna()).tolist()
    with np.load(result.model_path.parent / "predictions.npz") as file:
        scored = file["prediction"][:, 0]
    np.testing.assert_allclose(scored, answers[-len(scored) :], rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("inline_workers")
def test_classes_over_windows_are_served_as_they_were_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks that cut windows apart, too; a class that is a whole number stays one."""
    monkeypatch.chdir(tmp_path)
    frame = towns(lambda x: np.digitize(np.convolve(x, [0.0, 1.0, 1.0])[:200], [-0.7, 0.7]) + 1)
    frame.to_csv("hours.csv", index=False)
    result = hpsearch.tune(spec(windows={"rows": 3, "by": "town"}), workers=1)
    assert ("accuracy", ["1", "2", "3"]) == (result.objective, result.classes)
    assert result.test["accuracy"] > 0.8
    client = open_store(result.tracking_uri)
    promote_run(client, str(result.run_id), parse_reference("hours@champion"))
    answers = answers_of(client, tmp_path / "hours.csv")
    assert list(range(4)) == np.flatnonzero(answers["label"].isna()).tolist()
    assert {"1", "2", "3"} == set(answers["label"].dropna())
    with np.load(result.model_path.parent / "predictions.npz") as file:
        held = dict(file)
    probability = answers.filter(like="probability_").to_numpy()[-len(held["truth"]) :]
    np.testing.assert_allclose(held["prediction"], probability, rtol=1e-4, atol=1e-5)
    called = answers["label"].astype(float)[-len(probability) :] - 1
    share = float((called.to_numpy() == held["truth"].argmax(axis=1)).mean())
    assert result.test["accuracy"] == pytest.approx(share)
    monkeypatch.setattr(row_file, "BLOCK_BYTES", 300)  # bytes: some ten rows
    again = answers_of(client, tmp_path / "hours.csv")
    pd.testing.assert_frame_equal(answers, again, rtol=1e-5)
