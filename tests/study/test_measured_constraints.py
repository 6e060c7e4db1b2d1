"""Constraints on what is measured in a trial: who can win, what is told, what is refused."""

import mlflow
import numpy as np
import pytest
from rich.console import Console
from sklearn.datasets import load_wine

import hpsearch
from hpsearch.answers.from_journal import describe_trial
from hpsearch.errors import SpecError, TrainingError
from hpsearch.events import StudyCreated, TrialAsked, TrialFinished
from hpsearch.history import History, load_history
from hpsearch.reporting.terminal_tables import trial_details
from hpsearch.spec.study_file import load_dict
from hpsearch.study.validation import check_study
from hpsearch.study.winner.selection import best_trial
from hpsearch.training.metrics import find_optimum
from hpsearch.trial import Limit

SPEC = {
    "study": "small",
    "data": {},
    "objective": {"metric": "accuracy"},
    "cross_validation": {"folds": 2},
    "training": {"epochs": 2},
    "search_space": {"units": [4, 8, 16], "layers": 1},  # 71, 139 and 275 weights
    "sampler": {"kind": "grid"},
    "budget": {"trials": 3},
    "selection": {"finalists": 0},
}


def test_who_has_no_winner_is_told_of_the_best_pruned_trial_within_the_limits():
    history = History()
    history.apply(StudyCreated(study="s", limits=[Limit("parameters", 70, is_upper=True)]))
    states = ("COMPLETE", 0.9, 71), ("PRUNED", 0.5, 60), ("PRUNED", 0.7, 50), ("PRUNED", 0.8, 90)
    for number, (state, score, parameters) in enumerate(states):
        history.apply(TrialAsked(trial=number, attempt=0, params={}, seed=1, epochs=9))
        result = {"state": state, "score": score, "spread": 0.1, "trainer": "vectorized"}
        result["measured"] = {"parameters": parameters}
        history.apply(TrialFinished(trial=number, attempt=0, **result))
    with pytest.raises(
        TrainingError, match=r"complete trial 2, .*`hpsearch extend s 2 --epochs 9`"
    ):
        best_trial(history)


@pytest.mark.usefixtures("inline_workers")
def test_only_a_feasible_trial_wins_and_an_edited_limit_keeps_the_trials(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows, target = load_wine(return_X_y=True)
    data = (np.asarray(rows), target)
    reason = r"none of the 3 complete trials satisfies parameters <= 70, .* has parameters = 71"
    with pytest.raises(TrainingError, match=reason):
        hpsearch.tune({**SPEC, "constraints": ["parameters <= 70"]}, data)
    edited = {**SPEC, "constraints": ["parameters <= 100", "accuracy >= 0"]}
    journal = tmp_path / "mlruns" / "studies" / "small" / "journal.jsonl"
    assert journal.exists()
    with pytest.raises(SpecError, match="accuracy was not measured"):
        hpsearch.tune(edited, data, accept_changes=True)
    edited["constraints"].pop()
    result = hpsearch.tune(edited, data, accept_changes=True)
    history = load_history(journal)
    assert 3 == len(history.trials)
    assert (4, [result.best.trial]) == (
        result.best.params["units"],
        [t.number for t in history.ranked_trials()],
    )
    assert {71.0, 139.0, 275.0} == {t.measured["parameters"] for t in history.trials}
    worst = max(history.trials, key=lambda t: t.measured["parameters"])
    answer = describe_trial(journal, worst.number)
    assert ([175.0], None) == (answer.violations, answer.rank)
    console = Console(width=100)
    with console.capture() as shown:
        console.print(trial_details(journal, worst.number))
    assert "275 (violates parameters <= 100)" in shown.get()
    runs = mlflow.MlflowClient(result.tracking_uri).search_runs([result.experiment_id])
    violations = {r.data.metrics["violation"] for r in runs if "violation" in r.data.metrics}
    assert {0.0, 39.0, 175.0} == violations  # of the edited limit


def validate(constraint, **more):
    return check_study(
        load_dict(
            {
                "data": {"source": "sklearn:wine"},
                "search_space": {"units": [4, 8]},
                "constraints": [constraint],
                **more,
            }
        )
    )


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("latency_ms <= 2", Limit("latency_ms", 2.0, is_upper=True)),
        ("0.9 <= roc_auc", Limit("roc_auc", 0.9, is_upper=False)),
        ("r2 >= -1.5", Limit("r2", -1.5, is_upper=False)),
    ],
)
def test_a_limit_is_a_name_and_a_number(text, limit):
    spec = validate(text).spec
    assert {0: limit} == spec.limits
    assert () == spec.space.constraints


def test_a_hyperparameter_comes_before_a_measured_quantity():
    spec = validate("units <= 4").spec
    assert {} == spec.limits
    assert 1 == len(spec.space.constraints)


def test_the_best_value_of_a_metric_is_known_of_built_in_ones():
    found = {name: find_optimum(name) for name in ("r2", "rmse", "pinball_5", "own.py:profit")}
    assert {"r2": 1, "rmse": 0, "pinball_5": 0, "own.py:profit": None} == found


def test_a_quantity_may_have_several_bounds():
    found = validate("f1 >= 0.5", constraints=["f1 >= 0.5", "f1 <= 0.9", "f1 <= 0.8"]).spec
    assert 3 == len(found.limits)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"constraints": ["latency <= 2"]}, "nothing of this name is measured. Did you mean 'lat"),
        ({"constraints": ["latency_ms < 2"]}, "alone with a number, by <= or >=: latency_ms <= 2"),
        ({"constraints": ["latency_ms <= 0"]}, "no trial is within latency_ms <= 0: latency_ms is"),
        (
            {"constraints": ["recall >= 1.1"]},
            "no trial is within recall >= 1.1: the best recall is",
        ),
        ({"constraints": ["log_loss <= -1"]}, "no trial is within log_loss <= -1: the best log_l"),
        ({"constraints": ["f1 >= 0.8", "f1 <= 0.7"]}, "within f1 <= 0.7 and f1 >= 0.8"),
        ({"constraints": ["rmse <= 2"], "task": "binary"}, "no parameter 'rmse', and nothing"),
        ({"budget": {"until": "converged"}}, "budget.until: does not take into account latency_ms"),
        (
            {"budget": {"target": 2}, "objective": {"metric": "accuracy"}},
            "budget.target: no trial is within accuracy >= 2: the best accuracy is 1",
        ),
        ({"selection": {"kind": "ensemble"}}, "latency_ms <= 2 is measured for single trials"),
    ],
)
def test_what_cannot_be_constrained_is_refused_before_training(more, reason):
    with pytest.raises(SpecError, match=reason):
        validate("latency_ms <= 2", **more)
