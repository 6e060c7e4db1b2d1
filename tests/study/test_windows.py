"""From a time series to a model in use that answers for its next rows."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import hpsearch
from hpsearch.promotion import parse_reference, promote
from hpsearch.promotion.scoring import predict
from hpsearch.tracking.store import open_store


def test_a_series_becomes_a_model_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is served of the locked rows is what was scored, whatever the series between them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    parts = []
    for town in ("a", "b"):
        x = rng.normal(size=200)
        y = np.convolve(x, [0.0, 3.0, 1.0])[:200]  # of the two rows before
        parts.append(pd.DataFrame({"hour": np.arange(200), "town": town, "x": x, "y": y}))
    frame = pd.concat(parts).sort_values(["hour", "town"], ignore_index=True)
    frame.to_csv("hours.csv", index=False)
    spec = {
        "study": "hours",
        "data": {
            "source": "hours.csv",
            "target": "y",
            "windows": {"rows": 3, "by": "town", "horizon": 1, "include_target": True},
        },
        "cross_validation": {"kind": "time_series", "time": "hour", "folds": 2},
        "model": "mlp",
        "training": {"epochs": 25},
        "search_space": {"layers": 1, "learning_rate": [0.02, 0.03], "batch_size": 16},
        "budget": {"trials": 2},
        "selection": {"finalists": 0},
    }
    result = hpsearch.tune(spec, workers=1)
    assert result.test["r2"] > 0.95
    client = open_store(result.tracking_uri)
    promote(client, str(result.run_id), parse_reference("hours@champion"))
    coming = frame.copy()
    coming.loc[398:, ["x", "y"]] = np.nan  # the next hour: nothing of it is known yet
    coming.to_csv("coming.csv", index=False)
    output = io.StringIO()
    path = tmp_path / "coming.csv"
    assert 400 == predict(client, parse_reference("hours@champion"), path, output)
    answers = pd.read_csv(io.StringIO(output.getvalue()))["prediction"]
    assert list(range(6)) == np.flatnonzero(answers.isna()).tolist()
    scored = np.load(result.model.parent / "predictions.npz")["prediction"][:, 0]
    np.testing.assert_allclose(scored, answers[-len(scored) :], rtol=1e-4, atol=1e-4)
