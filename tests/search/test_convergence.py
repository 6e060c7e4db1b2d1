"""A search that ends when more trials are not expected to pay."""

import pytest

from hpsearch.search.convergence import INTERVAL, PATIENCE, Convergence
from hpsearch.spec.search_space import Categorical, Float, SearchSpace
from tests import synthetic
from tests.search.test_loop import Quadratic, StopError, kill_after, search

SPACE = SearchSpace((Categorical("kind", ("a", "b")), Float("x", -1.0, 1.0)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def run(path, trials=200, listeners=(), sampler="random", executor=None):
    convergence = Convergence(SPACE, seed=3)
    return search(
        path,
        executor,
        trials=trials,
        space=SPACE,
        sampler=sampler,
        listeners=listeners,
        convergence=convergence,
    )


@pytest.fixture(scope="module")
def converged(tmp_path_factory):
    """The journal of a search that converged, and its history."""
    journal = tmp_path_factory.mktemp("converged") / "journal.jsonl"
    return journal, run(journal)


def test_a_search_converges_and_says_by_how_much_it_could_improve(converged):
    journal, history = converged
    assert "converged" == history.end.cause
    assert "the best score is expected to improve by" in history.end.reason
    assert PATIENCE < len(history.trials) < 200
    assert history.since_improvement >= PATIENCE
    assert "COMPLETE" == history.best.state
    assert len(history.trials) == len(run(journal).trials), "it goes on"


def test_it_converges_at_the_same_trial_if_it_is_killed_before(path, converged):
    journal, whole = converged
    n_records = len(synthetic.read_records(journal))
    with pytest.raises(StopError):
        run(path, listeners=[kill_after(n_records - 17)])
    resumed = run(path)
    assert [t.params for t in whole.trials] == [t.params for t in resumed.trials]
    assert whole.end.reason == resumed.end.reason


def test_trials_that_run_when_it_converges_are_the_last_ones(path):
    history = run(path, executor=Quadratic(capacity=7))
    assert "converged" == history.end.cause
    assert len(history.trials) % INTERVAL == 6 % INTERVAL


def test_it_does_not_converge_while_a_gain_above_the_noise_is_expected(path):
    history = run(path, trials=PATIENCE + 5)
    convergence = Convergence(SPACE, seed=3)
    for trial in history.trials:
        trial.spread = 0.0
    assert convergence.describe(history) is None


def test_a_score_that_no_other_can_exceed_ends_the_search(path):
    history = run(path, trials=INTERVAL)
    best = history.best
    reason = Convergence(SPACE, seed=3, optimum=best.score).describe(history)
    assert f"no score is better than {best.score:g}, that of trial {best.number}" == reason
    assert Convergence(SPACE, seed=3, optimum=1.0).describe(history) is None


def test_a_score_without_folds_never_converges(path):
    history = run(path, trials=PATIENCE + 5)
    for trial in history.trials:
        trial.fold_scores = None
    assert Convergence(SPACE, seed=3).describe(history) is None
