"""Predictions of the sampler `gp` along each hyperparameter."""

import time

import numpy as np
import pytest

from hpsearch.search.samplers.gp_beliefs import Belief, predict_along_parameters
from hpsearch.spec.search_space import Categorical, Float, Int, SearchSpace
from hpsearch.trial import Direction, Trial

SPACE = SearchSpace(
    (
        Categorical("optimizer", ("sgd", "adam")),
        Float("rate", 1e-4, 1e-1, log=True),
        Int("units", 4, 64),
        Float("momentum", 0.0, 0.9, when={"optimizer": ("sgd",)}),
        Float("fixed", 1.0, 1.0),
    )
)


def true_score(params: dict) -> float:
    """Best at a rate of 0.01 and with adam; units and momentum do not matter."""
    lost = 0.1 * (np.log10(params["rate"]) + 2) ** 2
    return 0.9 - lost - (0.05 if params["optimizer"] == "sgd" else 0.0)


def make_trials(n: int, direction: Direction = "maximize") -> list[Trial]:
    random = np.random.default_rng(0)
    trials = []
    for number in range(n):
        params = {
            "optimizer": str(random.choice(["sgd", "adam"])),
            "rate": float(10 ** random.uniform(-4, -1)),
            "units": int(random.integers(4, 65)),
            "fixed": 1.0,
        }
        if params["optimizer"] == "sgd":
            params["momentum"] = float(random.uniform(0, 0.9))
        score = true_score(params) * (1 if direction == "maximize" else -1)
        trial = Trial(number, 0, params, seed=0, epochs=2, asked=0)
        trial.scores = [[score - 0.01] * 3, [score] * 3]
        if number % 7 == 3:
            trial.state, trial.scores = "PRUNED", trial.scores[:1]
        else:
            trial.state, trial.score, trial.fold_scores = "COMPLETE", score, [score] * 3
        trials.append(trial)
    return trials


def by_name(trials: list[Trial], direction: Direction = "maximize") -> dict[str, Belief]:
    return {b.name: b for b in predict_along_parameters(SPACE, trials, direction)}


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_model_finds_what_matters_and_its_intervals_hold_the_truth(
    direction: Direction,
) -> None:
    sign = 1 if direction == "maximize" else -1
    trials = make_trials(60, direction)
    found = by_name(trials, direction)
    assert ["optimizer", "rate", "units", "momentum"] == list(found)
    rate = found["rate"]
    best = rate.values[int(np.argmax(sign * np.array(rate.mean)))]
    assert 0.005 < best < 0.02
    centre = trials[rate.centre].params
    truth = sign * np.array([true_score({**centre, "rate": v}) for v in rate.values])
    assert np.all(np.array(rate.low) <= np.array(rate.high))
    inside = (truth >= np.array(rate.low) - 0.005) & (truth <= np.array(rate.high) + 0.005)
    assert inside.mean() > 0.8
    sgd, adam = (sign * value for value in found["optimizer"].mean)
    assert adam - sgd == pytest.approx(0.05, abs=0.03)
    assert np.ptp(found["units"].mean) < 0.05


def test_a_conditional_hyperparameter_is_seen_from_the_best_trial_that_has_it() -> None:
    trials = make_trials(40)
    momentum = by_name(trials)["momentum"]
    assert "sgd" == trials[momentum.centre].params["optimizer"]


def test_with_two_trials_nothing_is_believed() -> None:
    assert {} == by_name(make_trials(2))


def test_a_thousand_trials_are_modelled_at_once() -> None:
    trials = make_trials(1000)
    by_name(trials[:10])  # imports
    began = time.process_time()
    assert by_name(trials)
    assert time.process_time() - began < 5  # it takes 0.06 s
