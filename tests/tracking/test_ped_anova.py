"""The importance of hyperparameters equals that of Optuna's evaluator."""

import subprocess
import sys
import warnings
from pathlib import Path
from random import Random

import numpy as np
import optuna
import pytest

from hpsearch.spec.search_space import Categorical, Float, Int
from hpsearch.tracking.optuna_study import make_distribution
from hpsearch.tracking.plots.ped_anova import importance_shares

SPACE = (
    Float("rate", 1e-4, 1e-1, log=True),
    Float("dropout", 0.0, 0.5),
    Float("share", 0.1, 0.85, step=0.1),
    Float("never", 0.5, 0.5),
    Int("units", 8, 300, log=True),
    Int("depth", 1, 200),
    Int("heads", 2, 17, step=3),
    Categorical("optimizer", ("sgd", "adam", "nadam")),
    Categorical("bias", (True, False)),
    Categorical("only", ("one",)),
    Float("momentum", 0.0, 0.99, when={"optimizer": ["sgd"]}),
    Int("warmup", 1, 4, when={"optimizer": ["nadam"]}),
)


def draw_points(rng, n):
    points = []
    for _ in range(n):
        point = {p.name: p.draw(rng) for p in SPACE}
        drawn = point["optimizer"]
        points.append(
            {p.name: point[p.name] for p in SPACE if drawn in p.when.get("optimizer", [drawn])}
        )
    return points


def make_losses(rng, points, ties):
    losses = [
        abs(np.log(p["rate"] / 3e-3)) + p["dropout"] + 2 * p.get("momentum", 0.4) + rng.random()
        for p in points
    ]
    return np.round(losses, 1 if ties else 9)


def optunas_shares(points, losses, *, maximize=False):
    study = optuna.create_study(direction="maximize" if maximize else "minimize")
    distributions = {p.name: make_distribution(p) for p in SPACE}
    for point, loss in zip(points, losses, strict=True):
        held = {name: distributions[name] for name in point}
        value = float(-loss if maximize else loss)
        study.add_trial(optuna.trial.create_trial(params=point, distributions=held, value=value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a hyperparameter that one trial has
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(study, evaluator=evaluator)


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize(("n", "seed"), [(5, 0), (12, 1), (37, 2), (37, 3), (200, 4), (600, 5)])
def test_the_shares_are_those_of_optuna(n, seed, maximize):
    rng = Random(seed)
    points = draw_points(rng, n)
    losses = make_losses(rng, points, ties=seed % 2 == 1)
    ours = importance_shares(SPACE, points, losses)
    theirs = optunas_shares(points, losses, maximize=maximize)
    assert theirs.keys() == ours.keys()
    assert max(theirs.values()) > 1 / len(theirs)  # not the equal shares of what tells nothing
    assert theirs == pytest.approx(ours, rel=1e-9, abs=1e-9)
    assert sorted(ours.values(), reverse=True) == list(ours.values())


def test_equal_losses_tell_nothing():
    points = draw_points(Random(0), 20)
    assert {} == importance_shares(SPACE, points, np.zeros(20))


def test_no_trials_and_no_space_tell_nothing():
    assert {} == importance_shares(SPACE, [], np.array([]))
    assert {} == importance_shares((), [{}, {}, {}], np.arange(3.0))


DRAW = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import synthetic
from hpsearch.tracking.plots import interactive, space_plots
history = synthetic.history(30)
assert space_plots.draw_importance(history) is not None
assert interactive.write_interactive(history, pathlib.Path(sys.argv[2])) is not None
print(sorted({"sklearn", "optuna.importance"} & set(sys.modules)))
"""


def test_figures_of_the_space_import_no_forests(tmp_path):
    command = [sys.executable, "-c", DRAW, str(Path(__file__).parents[1]), str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "[]" == done.stdout.strip()
