"""Studies of real data as tasks of `pruners.py`: a curve is a cross-validated training.

The trainer is that of a study, in this process. Every finished training is kept in a file, to which
several processes may append.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from sampler_tasks import Params, Space, Task, draw
from tables import declare

from hpsearch.param_encoding import to_distribution
from hpsearch.study.prepare import build_problem, load_data, resolve_study
from hpsearch.study.tune import read_spec
from hpsearch.training.vectorized import VectorizedTrainer
from hpsearch.trial import TrialSpec

OBJECTIVES = {"digits": "accuracy", "telco": "roc_auc", "california_housing": "r2"}  # maximized
EPOCHS, FOLDS = 27, 3
BUDGETS = (5, 10, 20)  # full trainings
ROWS = 2000  # of each set; `declare` locks a quarter of them, which is not used here
N_RANDOM = 200  # random trainings, for the scale of the regret
SEARCH_SPACE: dict[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "beta_1": {"type": "float", "low": 0.5, "high": 0.99},
    "weight_decay": {"type": "float", "low": 1e-5, "high": 1.0, "log": True},
    "batch_size": {"type": "int", "low": 64, "high": 256, "log": True},
    "layers": {"type": "int", "low": 1, "high": 3},
    "units": {"type": "int", "low": 8, "high": 128, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.6},
}


class Trainings:
    """The finished trainings of one set; an error is 1 minus the objective."""

    def __init__(self, name: str, path: Path) -> None:
        declared = declare(name, 0, ROWS, "mlp", 0)
        declared["objective"] = {"metric": OBJECTIVES[name]}
        declared["cross_validation"] = {"folds": FOLDS}
        declared["training"] = {"epochs": EPOCHS, "early_stopping": None}
        declared["search_space"] = SEARCH_SPACE
        self.study = read_spec(declared)
        self.space: Space = {p.name: to_distribution(p) for p in self.study.spec.space}
        self.name, self.path = name, path
        self.known: dict[str, np.ndarray] = {}  # shape (EPOCHS, FOLDS) each
        if path.exists():
            for record in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
                if record["data"] == name:
                    self.known[make_key(record["params"])] = np.array(record["errors"])

    @cached_property
    def trainer(self) -> VectorizedTrainer:
        """Made for the first training that is not known."""
        dataset = load_data(self.study)
        return VectorizedTrainer(build_problem(resolve_study(self.study, dataset), dataset))

    def curve(self, params: Params) -> np.ndarray:
        """The errors of each fold after every epoch, shape (EPOCHS, FOLDS)."""
        key = make_key(params)
        if key not in self.known:
            self.known[key] = self.train(params)
            record = {"data": self.name, "params": params, "errors": self.known[key].tolist()}
            with self.path.open("a", encoding="utf-8") as out:
                out.write(json.dumps(record) + "\n")
        return self.known[key]

    def train(self, params: Params) -> np.ndarray:
        """Train in full; a training that fails has the error 1 from there on."""
        *reports, _ = self.trainer.train([TrialSpec(0, params, seed=0, epochs=EPOCHS)])
        errors = np.ones((EPOCHS, FOLDS))
        for epoch, [report] in enumerate(reports):  # type: ignore[misc, arg-type]
            errors[epoch] = 1 - report.scores
        return errors

    def error(self, params: Params) -> float:
        """The error at the best epoch of the mean curve, as a study scores a trial."""
        return best_error(self.curve(params))

    def find_scale(self) -> tuple[float, float]:
        """The least error of all trainings, and the median of `N_RANDOM` random ones."""
        rng = np.random.default_rng(0)
        drawn = [{n: draw(d, rng.random()) for n, d in self.space.items()} for _ in range(N_RANDOM)]
        median = float(np.median([self.error(params) for params in drawn]))
        return min(map(best_error, self.known.values())), median


def make_key(params: Params) -> str:
    """A text that equal hyperparameters have in common."""
    return json.dumps(params, sort_keys=True)


def best_error(errors: np.ndarray) -> float:
    """The least mean over the folds."""
    return float(errors.mean(axis=1).min())


def real_task(name: str, path: Path) -> Task:
    """One set. The best error is known only after all runs: until then, the regret is the error."""
    trainings = Trainings(name, path)
    return Task(
        name=name,
        space=trainings.space,
        observe=lambda params, rng: trainings.error(params),
        truth=trainings.error,
        best=0.0,
        median=1.0,
        curve=trainings.curve,
        epochs=EPOCHS,
        budgets=BUDGETS,
    )


def scale_regrets(results: dict[Any, dict[str, Any]], path: Path) -> None:
    """Replace the errors of runs on real sets by regrets, and print the scale of each set."""
    for name in OBJECTIVES:
        own = [record for record in results.values() if record["task"] == name]
        if not own:
            continue
        trainings = Trainings(name, path)
        best, median = trainings.find_scale()
        for record in own:
            record["regret"] = [(error - best) / (median - best) for error in record["regret"]]
        print(
            f"{name}, 1 - {OBJECTIVES[name]}: {best:.4f} the best of {len(trainings.known)} "
            f"trainings, {median:.4f} the median of {N_RANDOM} random ones"
        )
