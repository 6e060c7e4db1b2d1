"""The decision threshold: chosen on out-of-fold predictions, used for all labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

import hpsearch
from hpsearch.errors import SpecError
from hpsearch.history import load_history
from hpsearch.study.resolved_study import choose_pruner, with_task
from hpsearch.study.winner.threshold import best_threshold
from hpsearch.training.metrics import METRICS

RANDOM = np.random.default_rng(5)
TRUTH = (RANDOM.random((500, 1)) < 0.1).astype(float)
CHANCES = np.clip(0.15 * TRUTH + 0.3 * RANDOM.random((500, 1)), 0, 1)  # none above one half


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy", "matthews_corrcoef"])
def test_no_other_threshold_is_better_on_the_same_rows(name: str) -> None:
    metric = METRICS[name]
    best = best_threshold(metric, TRUTH, CHANCES)
    scores = [metric(TRUTH, CHANCES, threshold=t) for t in np.linspace(0.01, 0.99, 197)]
    assert metric(TRUTH, CHANCES, threshold=best) >= max(scores)
    assert metric(TRUTH, CHANCES, threshold=best) > metric(TRUTH, CHANCES) + 0.1


def test_of_equally_good_thresholds_that_nearest_to_one_half_is_taken() -> None:
    truth = np.array([[0.0], [0.0], [1.0], [1.0]])
    assert 0.5 == best_threshold(METRICS["f1"], truth, np.array([[0.1], [0.4], [0.6], [0.9]]))
    low = best_threshold(METRICS["f1"], truth, np.array([[0.1], [0.2], [0.3], [0.4]]))
    assert 0.25 == pytest.approx(low)


def test_a_metric_of_labels_counts_above_the_threshold_and_one_of_chances_does_not() -> None:
    expected = f1_score(TRUTH[:, 0], CHANCES[:, 0] > 0.2)
    assert expected == pytest.approx(METRICS["f1"](TRUTH, CHANCES, threshold=0.2))
    for name in ("roc_auc", "log_loss", "brier"):
        metric = METRICS[name]
        assert metric(TRUTH, CHANCES) == metric(TRUTH, CHANCES, threshold=0.2)


SPEC = {
    "study": "rare",
    "data": {"test_fraction": 0.4},
    "objective": {"metric": "f1"},
    "cross_validation": {"folds": 3},
    "training": {"epochs": 8},
    "search_space": {"units": 8, "learning_rate": [1e-2, 3e-3]},
    "budget": {"trials": 2},
}


@pytest.mark.usefixtures("inline_workers")
def test_what_is_rare_gets_a_threshold_that_no_locked_row_has_seen(tmp_path: Path) -> None:
    x = RANDOM.normal(size=(2000, 4)).astype(np.float32)
    y = (x[:, 0] + RANDOM.normal(0, 1, 2000) > 2.2).astype(int)
    result = hpsearch.tune(SPEC, (x, y), offline=True, root=tmp_path)
    folder = tmp_path / "mlruns" / "studies" / "rare"
    history = load_history(folder / "journal.jsonl")
    assert history.winner is not None
    threshold = history.winner.threshold
    trial = history.winning_trial()
    assert trial is not None
    out_of_fold = np.load(folder / str(trial.predictions))
    target = json.loads((folder / "final" / "schema.json").read_text())["target"]
    assert [threshold] * 3 == [target["threshold"], history.final.threshold, result.threshold]
    with np.load(folder / "final" / "predictions.npz") as file:
        held = dict(file)
    tuned, half = (
        f1_score(held["truth"][:, 0], held["prediction"][:, 0] > t, zero_division=0)
        for t in (threshold, 0.5)
    )
    assert tuned == pytest.approx(result.test["f1"])
    assert tuned > half
    assert sum(map(sum, result.confusion)) == len(held["truth"])
    hits = result.confusion[1][1]
    assert hits == int((held["truth"][:, 0] * (held["prediction"][:, 0] > threshold)).sum())
    assert len(out_of_fold) == len(y) - len(held["truth"])


def test_by_default_it_is_tuned_where_the_objective_needs_one() -> None:
    from hpsearch.spec.study_file import load_dict

    def of(task: str, **objective: object) -> object:
        return with_task(choose_pruner(load_dict({**SPEC, "objective": objective})), task).threshold

    assert "tuned" == of("binary", metric="f1")
    for name in ("accuracy", "precision", "recall"):
        assert 0.5 == of("binary", metric=name)
    assert 0.5 == of("binary", metric="roc_auc")
    assert 0.5 == of("multiclass", metric="f1")
    assert 0.3 == of("binary", metric="f1", threshold=0.3)
    with pytest.raises(SpecError, match="threshold"):
        of("binary", metric="f1", threshold=1.5)
