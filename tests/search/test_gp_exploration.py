"""A search that repeats itself looks at neglected parts of the space."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hpsearch.search.gp import exploration
from hpsearch.search.gp.exploration import find_rarest_branch, is_beside, is_in_branch
from hpsearch.search.gp.gp_sampler import GaussianProcessSampler
from hpsearch.search.gp.model_space import ModelParameter, ModelSpace

BRANCH = ModelParameter("branch", CategoricalDistribution(["a", "b"]))
X = ModelParameter("x", FloatDistribution(0.0, 1.0), {"branch": ("a",)})
Y = ModelParameter("y", FloatDistribution(0.0, 1.0), {"branch": ("b",)})
SPACE = ModelSpace([BRANCH, X, Y])


def encode(*params: dict[str, Any]) -> np.ndarray:
    return np.array([SPACE.encode(p) for p in params])


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"branch": "a", "x": 0.511}, True),
        ({"branch": "a", "x": 0.53}, False),
        ({"branch": "b", "y": 0.5}, False),  # x is not active there
        ({"branch": "b", "y": 0.805}, True),
    ],
)
def test_a_point_is_beside_a_trial_of_its_branch(params: dict[str, Any], expected: bool) -> None:
    trials = encode({"branch": "a", "x": 0.5}, {"branch": "b", "y": 0.8})
    assert is_beside(SPACE, encode(params)[0], trials) is expected


def test_the_rarest_branch_has_the_fewest_trials() -> None:
    trials = encode({"branch": "a", "x": 0.1}, {"branch": "b", "y": 0.2}, {"branch": "a", "x": 0.3})
    branch = find_rarest_branch(SPACE, trials)
    assert branch is not None
    assert is_in_branch(SPACE, trials[1], branch)
    assert not is_in_branch(SPACE, trials[0], branch)


def test_values_of_an_integer_that_has_children_are_branches() -> None:
    deeper = ModelParameter("second", FloatDistribution(0.0, 1.0), {"layers": (2, 3)})
    space = ModelSpace([ModelParameter("layers", IntDistribution(1, 3)), deeper])
    trials = np.array([space.encode({"layers": n, "second": 0.5}) for n in (1, 1, 2, 3, 3)])
    branch = find_rarest_branch(space, trials)
    assert branch is not None
    assert [is_in_branch(space, trial, branch) for trial in trials] == [False] * 2 + [
        True,
        False,
        False,
    ]


def test_a_space_without_conditions_has_no_branches() -> None:
    space = ModelSpace([BRANCH, ModelParameter("layers", IntDistribution(1, 3))])
    assert find_rarest_branch(space, space.draw(np.full((3, 2), 0.5))) is None


def count_trials_of_b(share: float, monkeypatch: pytest.MonkeyPatch) -> int:
    """Search 40 points of a space whose branch `b` looks bad."""
    monkeypatch.setattr(exploration, "SHARE", share)
    sampler = GaussianProcessSampler(seed=1, space=SPACE.parameters, budget=40)
    study = optuna.create_study(sampler=sampler)
    for _ in range(40):
        trial = study.ask()
        if trial.suggest_categorical("branch", ["a", "b"]) == "a":
            value = (trial.suggest_float("x", 0.0, 1.0) - 0.3) ** 2
        else:
            value = 0.8 + 0.1 * trial.suggest_float("y", 0.0, 1.0)
        study.tell(trial, value)
    return sum(t.params["branch"] == "b" for t in study.trials)


def test_a_search_that_repeats_itself_returns_to_a_branch_that_looks_bad(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert count_trials_of_b(exploration.SHARE, monkeypatch) >= 12
    assert count_trials_of_b(0.0, monkeypatch) < 8
