"""`hpsearch.optuna.GPSampler` in studies of Optuna."""

import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from hpsearch import Choice, Float, Int
from hpsearch.optuna import GPSampler

optuna.logging.set_verbosity(optuna.logging.ERROR)
HUB = Path(__file__).parents[2] / "optunahub" / "package" / "samplers" / "hpsearch_gp"
SPACE = [
    Choice("kind", ["a", "b"]),
    Float("x", -5, 5),
    Float("y", -5, 5, when={"kind": "b"}),
    Int("n", 1, 4, when={"x": {"max": 0}}),
]


def branched(trial):
    """Best at x=0, kind=b, y=2."""
    kind, x = trial.suggest_categorical("kind", ["a", "b"]), trial.suggest_float("x", -5, 5)
    cost = trial.suggest_int("n", 1, 4) / 10 if x <= 0 else 0.1
    return x * x + cost + (3 if kind == "a" else (trial.suggest_float("y", -5, 5) - 2) ** 2)


def points(study):
    return [trial.params for trial in study.trials]


def simple(trial):
    """Best at x=0, kind=b, y=2; the branch a ends at 3."""
    kind, x = trial.suggest_categorical("kind", ["a", "b"]), trial.suggest_float("x", -5, 5)
    return x * x + (3 if kind == "a" else (trial.suggest_float("y", -5, 5) - 2) ** 2)


@pytest.mark.parametrize(
    ("space", "objective"),
    [(None, simple), (SPACE, branched)],
    ids=["read from trials", "declared"],
)
def test_a_branched_function_is_minimized_and_conditions_hold(space, objective):
    study = optuna.create_study(sampler=GPSampler(seed=0, space=space))
    study.optimize(objective, n_trials=40)
    by_chance = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    by_chance.optimize(objective, n_trials=40)
    assert study.best_value < by_chance.best_value / 2
    assert all(("y" in p) == (p["kind"] == "b") for p in points(study))
    if space is not None:
        assert all(("n" in p) == (p["x"] <= 0) for p in points(study))


def test_a_stored_study_goes_on_as_if_it_had_never_stopped(tmp_path):
    storage = f"sqlite:///{tmp_path}/optuna.db"
    for _ in range(2):
        stored = optuna.create_study(
            storage=storage, study_name="s", load_if_exists=True, sampler=GPSampler(seed=3)
        )
        stored.optimize(branched, n_trials=8)
    whole = optuna.create_study(sampler=GPSampler(seed=3))
    whole.optimize(branched, n_trials=16)
    assert points(whole) == points(stored)


def test_given_pruned_and_failed_trials_and_threads_are_taken_in():
    study = optuna.create_study(sampler=pickle.loads(pickle.dumps(GPSampler(seed=0, startup=4))))
    study.enqueue_trial({"kind": "b", "x": 0.5})

    def objective(trial):
        value = branched(trial)
        trial.report(value, 0)
        if trial.number % 4 == 1:
            raise optuna.TrialPruned
        return float("nan") if trial.number % 4 == 2 else value

    study.optimize(objective, n_trials=16, n_jobs=2)
    assert {"b": 0.5} == {points(study)[0]["kind"]: points(study)[0]["x"]}
    states = {trial.state.name for trial in study.trials}
    assert {"COMPLETE", "PRUNED", "FAIL"} == states


def test_several_objectives_spread_over_the_front():
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=GPSampler(seed=0))

    def objective(trial):
        x = trial.suggest_float("x", -1, 2)
        return x * x, (x - 1) ** 2

    study.optimize(objective, n_trials=24)
    on_front = [t.params["x"] for t in study.best_trials]
    assert min(on_front) < 0.3 < 0.7 < max(on_front)


def test_the_package_for_optunahub_has_its_form_and_its_example_runs():
    text = (HUB / "README.md").read_text(encoding="utf-8")
    head = text.split("---")[1]
    for key in ("author", "title", "description", "tags", "optuna_versions", "license"):
        assert f"\n{key}: " in head
    for section in ("## APIs", "## Installation", "## Example"):
        assert section in text
    assert (HUB / "LICENSE").is_file()
    scope = runpy.run_path(str(HUB / "__init__.py"))
    assert scope["GPSampler"] is GPSampler
    done = subprocess.run(
        [sys.executable, str(HUB / "example.py")], capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    assert "best value" in done.stdout
