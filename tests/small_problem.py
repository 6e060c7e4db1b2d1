"""A study of 90 rows and three folds, for the tests that train something."""

import numpy as np

from hpsearch.data import Split, Statistics
from hpsearch.execution.executor import Lost
from hpsearch.training.problem import Problem
from hpsearch.trial import EpochReport, TrialResult, TrialSpec


def problem(model: str = "mlp", columns: int = 4) -> Problem:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(90, columns)).astype(np.float32)
    target = (features[:, :1] + features[:, 1:2] > 0).astype(np.float32)
    rows = np.arange(90)
    folds = tuple(Split(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3))
    zero, one = np.zeros(columns, np.float32), np.ones(columns, np.float32)
    plain = Statistics(zero, zero, one, zero[:1], one[:1])
    return Problem(
        task="binary",
        features=features,
        target=target,
        folds=folds,
        statistics=(plain,) * 3,
        objective="roc_auc",
        metrics=("roc_auc", "log_loss"),
        model=model,
    )


def trial(number=0, epochs=4, attempt=0, **params) -> TrialSpec:
    known = {"units": 8, "layers": 1, "learning_rate": 0.01, "batch_size": 16}
    return TrialSpec(number, {**known, **params}, seed=11 + number, epochs=epochs, attempt=attempt)


def until_result(executor, on_epoch=lambda report: None) -> list:
    """Every report up to a result or a loss."""
    reports = []
    while not reports or not isinstance(reports[-1], TrialResult | Lost):
        report = executor.wait(600)
        assert report is not None, "nothing was heard of the worker for ten minutes"
        reports.append(report)
        if isinstance(report, EpochReport):
            on_epoch(report)
    return reports
