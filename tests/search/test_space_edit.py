"""A search space that is edited amid a study: which trials the sampler learns, and which count."""

import pytest

from hpsearch.events import DeclarationChanged, TrialExtended
from hpsearch.history import load_history
from hpsearch.journal import Journal
from hpsearch.spec.search_space import Categorical, Float, SearchSpace
from hpsearch.study.steering import explain_not_extendable
from hpsearch.tracking.optuna_study import build_optuna_study
from tests import synthetic
from tests.search.test_loop import SPACE, StopError, kill_after, search

SLOWER = ("cmaes", "gp", "keras_tuner_random")
NARROW = SearchSpace((Categorical("kind", ("a", "c")), Float("x", -0.6, 1.5)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def edit(path, space):
    """Record an edit of the space, and return the trials outside."""
    trials = load_history(path).trials
    points = {t.number: {k: v for k, v in t.params.items() if k != "units"} for t in trials}
    outside = [n for n, point in points.items() if space.why_invalid(point) is not None]
    changes = [["search_space.x.high", "1.0", "1.5"]]
    with Journal(path) as journal:
        journal.append(DeclarationChanged(changes=changes, outside=outside))
    return outside


@pytest.mark.parametrize(
    "sampler",
    [pytest.param("tpe"), *(pytest.param(name, marks=pytest.mark.long) for name in SLOWER)],
)
@pytest.mark.filterwarnings("ignore:(currentThread|getName):DeprecationWarning")  # Keras Tuner
def test_a_study_goes_on_in_the_new_space_as_one_that_was_not_interrupted(tmp_path, sampler):
    space = (
        SearchSpace((*NARROW.parameters, Float("y", 0.1, 1.0))) if sampler == "cmaes" else NARROW
    )
    first = SPACE
    if sampler == "cmaes":
        first = SearchSpace(
            (Categorical("kind", ("a", "b")), Float("x", -1, 1), Float("y", 0.1, 1))
        )

    def study(path, listeners=()):
        if not path.exists():
            search(path, space=first, sampler=sampler, trials=8)
            assert 0 < len(edit(path, space)) < 8
        return search(path, space=space, sampler=sampler, trials=16, listeners=listeners)

    whole = study(tmp_path / "whole" / "journal.jsonl")
    assert 16 == whole.count("COMPLETE")
    for trial in whole.trials[8:]:
        point = {k: v for k, v in trial.params.items() if k != "units"}
        assert space.why_invalid(point) is None
    path = tmp_path / "killed" / "journal.jsonl"
    with pytest.raises(StopError):
        study(path, [kill_after(13)])
    history = study(path)
    assert [t.params for t in whole.trials] == [t.params for t in history.trials]


def test_trials_outside_cannot_win_and_are_shown(path):
    search(path, trials=8)
    best = load_history(path).best
    low, high = sorted((best.params["x"] + 0.01, 1.0))
    without_best = SearchSpace((*SPACE.parameters[:1], Float("x", low, high), SPACE.parameters[2]))
    outside = edit(path, without_best)
    assert best.number in outside
    history = load_history(path)
    assert best.number != history.best.number
    assert history.best.number not in outside
    assert {t.number for t in history.ranked_trials()}.isdisjoint(outside)
    edit(path, SPACE)  # widened again
    assert best.number == load_history(path).best.number


def test_a_trial_that_was_running_outside_is_stopped(path):
    with pytest.raises(StopError):
        search(path, trials=3, epochs=9, listeners=[kill_after(5)])
    outside = edit(path, SearchSpace((Categorical("kind", ("c",)),)))
    assert [0] == outside
    assert set() == load_history(path).ended_outside
    history = search(path, trials=3, epochs=9, space=NARROW)
    assert ["PRUNED", "COMPLETE", "COMPLETE"] == [t.state for t in history.trials]


def test_a_trial_that_a_later_edit_takes_back_is_not_stopped(path):
    with pytest.raises(StopError):
        search(path, trials=3, epochs=9, listeners=[kill_after(5)])
    assert [0] == edit(path, SearchSpace((Categorical("kind", ("c",)),)))
    assert {0} == load_history(path).stop_requested
    edit(path, SPACE)
    history = search(path, trials=3, epochs=9)
    assert ["COMPLETE"] * 3 == [t.state for t in history.trials]


def test_a_trial_outside_that_is_being_extended_is_stopped_and_no_other_is_extended(path):
    search(path, trials=3)
    with Journal(path) as journal:
        journal.append(TrialExtended(trial=0, epochs=5, request="e"))
    outside = edit(path, SearchSpace((Categorical("kind", ("c",)),)))
    history = load_history(path)
    assert [0, 1, 2] == outside
    assert {0} == history.stop_requested
    reason = explain_not_extendable(history, history.last[1], 9)
    assert reason.startswith("lies outside the edited space")


def test_figures_have_the_ranges_before_and_after(path):
    declared = {"x": {"type": "float", "low": -1.0, "high": 1.0}}
    with Journal(path) as journal:
        journal.append(synthetic.event("study", spec={"search_space": declared}))
    space = SearchSpace((Float("x", -1.0, 1.0),))
    search(path, space=space, trials=3)
    wider = {"x": {"type": "float", "low": 0.0, "high": 2.0}}
    change = {"changes": [["search_space.x.high", "1.0", "2.0"]], "outside": []}
    with Journal(path) as journal:
        journal.append(DeclarationChanged(**change, resolved={"search_space": wider}))
    history = search(path, space=SearchSpace((Float("x", 0.0, 2.0),)), trials=6)
    found = build_optuna_study(history, trials=history.trials)
    assert 6 == len(found.trials)
    assert {(-1.0, 2.0)} == {
        (t.distributions["x"].low, t.distributions["x"].high) for t in found.trials
    }
