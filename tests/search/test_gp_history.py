"""Observations derived from trials."""

import math

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from hpsearch.search.gp.observations import (
    collect_observations,
    combine_objectives,
    standard_errors,
)

STATES = {"COMPLETE": TrialState.COMPLETE, "PRUNED": TrialState.PRUNED, "FAIL": TrialState.FAIL}


def trial(number, value=None, state="COMPLETE", reports=None, sem=None, folds=None):
    made = optuna.trial.create_trial(
        state=STATES[state],
        value=value,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        intermediate_values=reports or {},
        user_attrs=({} if sem is None else {"score_sem": sem})
        | ({} if folds is None else {"fold_scores": folds}),
    )
    made.number = number
    return made


COMPLETE = [trial(i, 1.0 + i, reports={1: 3.0 + i, 2: 2.0 + i}) for i in range(4)]


def test_a_complete_trial_tells_its_value_and_its_standard_error():
    (told,) = collect_observations([trial(0, 2.0, sem=0.3)], maximize=[False])
    assert (2.0, 0.3) == (told.value, told.error)


def test_larger_is_better_turns_the_sign():
    assert -2.0 == collect_observations([trial(0, 2.0)], maximize=[True])[0].value


@pytest.mark.parametrize("sem", ["much", -1.0, math.nan])
def test_a_standard_error_that_is_none_is_ignored(sem):
    assert 0.0 == collect_observations([trial(0, 2.0, sem=sem)], maximize=[False])[0].error


def test_a_pruned_trial_tells_its_best_report_and_how_far_it_was_trained():
    reports = {0: 9.0, 1: 6.5, 2: 7.0}
    long = trial(8, 1.0, reports=dict.fromkeys(range(9), 1.0))
    told = collect_observations([long, trial(9, state="PRUNED", reports=reports)], maximize=[False])
    assert (6.5, 0.0) == (told[-1].value, told[-1].error)
    assert (0.0, math.log(3 / 9)) == (told[0].progress, told[-1].progress)


def test_while_no_trial_is_complete_the_longest_counts_as_trained_to_the_end():
    pruned = [trial(i, state="PRUNED", reports={i: 1.0}) for i in range(3)]
    told = collect_observations(pruned, maximize=[False])
    first, second, longest = (each.progress for each in told)
    assert first < second < longest == 0.0


def test_a_trial_rejected_by_its_model_is_as_bad_as_the_worst_and_a_guess():
    told = collect_observations([*COMPLETE, trial(9, state="PRUNED")], maximize=[False])
    assert (4.0, math.inf) == (told[-1].value, told[-1].error)


def test_a_failed_trial_is_as_bad_as_the_worst_and_a_guess():
    told = collect_observations([*COMPLETE, trial(9, state="FAIL")], maximize=[False])
    assert (4.0, math.inf) == (told[-1].value, told[-1].error)


def test_an_infinite_value_is_as_bad_as_the_worst():
    assert 4.0 == collect_observations([*COMPLETE, trial(9, math.inf)], maximize=[False])[-1].value


def test_failures_alone_say_nothing():
    assert [] == collect_observations([trial(0, state="FAIL")], maximize=[False])


def test_a_fold_that_is_hard_for_every_trial_is_no_noise():
    hard = [0.0, 0.0, 5.0]
    trials = [trial(i, i, folds=[i + h for h in hard]) for i in range(6)]
    assert [0.0] * 6 == pytest.approx(list(standard_errors(trials).values()), abs=1e-9)


def test_the_noise_of_a_mean_over_folds_is_found():
    rng = np.random.default_rng(0)
    hard = rng.normal(size=5)
    rows = [rng.normal(size=1) + hard + 0.3 * rng.normal(size=5) for _ in range(60)]
    found = list(
        standard_errors([trial(i, 0.0, folds=list(row)) for i, row in enumerate(rows)]).values()
    )
    assert 0.3 / math.sqrt(5) == pytest.approx(np.median(found), rel=0.15)


def test_a_declared_standard_error_goes_before_the_folds():
    trials = [trial(i, i, folds=[i, i + 1.0], sem=0.7) for i in range(4)]
    assert dict.fromkeys(range(4), 0.7) == standard_errors(trials)


def test_one_fold_tells_no_noise():
    assert {} == standard_errors([trial(i, i, folds=[float(i)]) for i in range(4)])


def test_weights_choose_among_several_objectives():
    front = [(0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]
    trials = [
        optuna.trial.create_trial(
            values=list(v), params={"x": 0.5}, distributions={"x": FloatDistribution(0, 1)}
        )
        for v in front
    ]
    for number, made in enumerate(trials):
        made.number = number
    for weights, best in (((0.9, 0.1), 0), ((0.1, 0.9), 1)):
        values = combine_objectives(trials, [False, False], weights)
        assert best == min(values, key=values.get)
        assert 2 == max(values, key=values.get)
