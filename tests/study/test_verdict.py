"""The verdict against baselines: output, journal, MLflow and promotion."""

from __future__ import annotations

import numpy as np
import pytest
from mlflow import MlflowClient

from hpsearch.event_codec import from_json
from hpsearch.events import BaselineScores, WinnerEvaluated
from hpsearch.verdict import compare_with, describe_verdict

from .conftest import invoke

LINE = """\
study: line
data: {source: line.csv, target: y, test_fraction: 0.3}
cross_validation: {folds: 2}
training: {epochs: EPOCHS, early_stopping: null}
search_space: {units: 8, layers: LAYERS, learning_rate: RATE, optimizer: adam}
budget: {trials: 1}
selection: {finalists: 0}
"""


def with_interval(low: float, high: float) -> BaselineScores:
    return BaselineScores("ridge", {"rmse": 1.0}, (low, high))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.2, "better than"),
        (-0.2, -0.1, "worse than"),
        (-0.1, 0.1, "as good as"),
        (0.0, 0.0, "as good as"),
        (0.0, 0.1, "as good as"),
        (float("nan"), float("nan"), None),
    ],
)
def test_the_same_within_the_interval_is_as_good_as(low, high, expected):
    assert expected == compare_with(with_interval(low, high))


def test_what_is_not_known_is_not_said():
    assert "" == describe_verdict([BaselineScores("ridge", {"rmse": 1.0})])


def test_the_worst_is_said_first():
    each = [
        BaselineScores("ridge", {}, (0.1, 0.2)),
        BaselineScores("gradient_boosting", {}, (-0.2, -0.1)),
        BaselineScores("constant", {}, (0.4, 0.5)),
    ]
    assert "worse than gradient boosting, better than ridge and a constant" == describe_verdict(
        each
    )


def test_the_one_baseline_of_an_earlier_journal_is_read():
    record = {"seq": 9, "time": 1_700_000_000_000, "event": "final", "reads": 1, "members": []}
    one = {"name": "ridge", "metrics": {"rmse": 2.0}}
    event = from_json({**record, "baseline": one})
    assert isinstance(event, WinnerEvaluated)
    assert (BaselineScores("ridge", {"rmse": 2.0}),) == event.baselines
    event = from_json({**record, "baseline": None})
    assert isinstance(event, WinnerEvaluated)
    assert () == event.baselines


def line(path, seed=0):
    x = np.random.default_rng(seed).normal(size=(200, 3))
    rows = np.column_stack([x, x @ [3.0, -2.0, 1.0] + 10])
    np.savetxt(path, rows, delimiter=",", header="a,b,c,y", comments="")


@pytest.mark.usefixtures("inline_workers")
def test_a_network_that_loses_is_not_proposed_but_can_be_promoted(tmp_path):
    line(tmp_path / "line.csv")
    spec = tmp_path / "line.yaml"
    text = LINE.replace("EPOCHS", "1").replace("LAYERS", "1").replace("RATE", "1e-5")
    spec.write_text(text)
    printed = invoke(tmp_path, "tune", spec).stdout.splitlines()
    assert printed[-1].startswith("worse than ridge (rmse 0."), printed
    assert printed[-1].endswith("To promote it anyway: hpsearch promote line --as line@champion")
    (following,) = [text for text in printed if text.startswith("next:")]
    assert "promote" not in following
    promoted = invoke(tmp_path, "promote", "line", "--as", "line@champion").stdout
    assert "on the locked rows, it is worse than ridge and gradient boosting" in promoted
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    version = client.get_model_version("line", "1")
    assert version.tags["hpsearch.verdict"].startswith("worse than ridge and gradient boosting")
    run = client.get_run(version.tags["hpsearch.run"])
    assert run.data.tags["verdict"] == version.tags["hpsearch.verdict"]
    names = {name for name in run.data.metrics if name.startswith("baseline/")}
    assert {
        f"baseline/{model}/{metric}"
        for model in ("ridge", "gradient_boosting", "constant")
        for metric in ("rmse", "mae", "r2")
    } == names
