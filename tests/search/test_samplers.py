"""One suite that every sampler passes."""

import numpy as np
import pytest

from hpsearch.errors import SpecError
from hpsearch.history import Trial
from hpsearch.search.samplers import SAMPLERS, make_sampler
from hpsearch.spec.space import Categorical, Float, Int, Space

SPACE = Space(
    (
        Categorical("kind", ("a", True, 1, 1.0, None)),
        Float("lr", 1e-4, 1e-1, log=True),
        Float("rate", 0.0, 0.5, step=0.1),
        Int("units", 8, 64, log=True),
        Int("even", 2, 20, step=2),
        Float("child", 0.0, 1.0, when={"kind": ("a",)}),
        Int("grandchild", 1, 3, when={"kind": ("a",), "even": (2, 4, 6, 8)}),
    )
)


def sampler(kind, seed=5):
    return make_sampler(kind, SPACE, direction="minimize", seed=seed)


def trial(number, params, state="COMPLETE"):
    score = abs(np.log10(params["lr"]) + 2) + params["rate"]
    return Trial(
        number=number,
        attempt=0,
        params=dict(params),
        seed=0,
        epochs=2,
        asked=0,
        scores=[[score + 1], [score]],
        state=state,
        score=score if state == "COMPLETE" else None,
        best_epoch=1,
    )


def run(kind, n, start=(), states=("COMPLETE",)):
    """Trials `len(start)` to n of a fresh sampler that was told `start`."""
    s = sampler(kind)
    trials = list(start)
    for t in trials:
        s.tell(t)
    for number in range(len(trials), n):
        t = trial(number, s.ask(number), states[number % len(states)])
        s.tell(t)
        trials.append(t)
    return [t.params for t in trials], trials


@pytest.mark.parametrize("kind", SAMPLERS)
class TestEverySampler:
    def test_suggestions_lie_in_the_space_and_conditions_hold(self, kind):
        for params in run(kind, 30)[0]:
            assert SPACE.violation(params) is None

    def test_the_same_seed_suggests_the_same(self, kind):
        assert run(kind, 20)[0] == run(kind, 20)[0]

    def test_another_seed_suggests_otherwise(self, kind):
        assert sampler(kind, 5).ask(0) != sampler(kind, 6).ask(0)

    @pytest.mark.parametrize("stop", [3, 14])
    def test_one_made_anew_and_told_the_same_goes_on_the_same_way(self, kind, stop):
        whole, trials = run(kind, 18, states=("COMPLETE", "PRUNED", "COMPLETE", "FAILED"))
        resumed, _ = run(
            kind, 18, start=trials[:stop], states=("COMPLETE", "PRUNED", "COMPLETE", "FAILED")
        )
        assert whole == resumed

    def test_failed_and_pruned_trials_are_taken_in(self, kind):
        params, _ = run(kind, 20, states=("PRUNED", "FAILED", "COMPLETE"))
        assert 20 == len(params)

    def test_a_batch_of_asks_without_a_tell_is_diverse(self, kind):
        s = sampler(kind)
        _, trials = run(kind, 15)
        for t in trials:
            s.tell(t)
        batch = [tuple(sorted(s.ask(n).items(), key=str)) for n in range(15, 23)]
        assert 8 == len(set(map(str, batch)))

    def test_a_running_trial_of_an_earlier_life_can_be_told_when_it_ends(self, kind):
        s = sampler(kind)
        params = s.ask(0)
        again = sampler(kind)
        running = trial(0, params)
        running.state, running.score = "RUNNING", None
        again.tell(running)
        again.tell(trial(0, params))
        assert SPACE.violation(again.ask(1)) is None


def test_tpe_finds_better_points_than_random():
    best = {kind: min(t.score for t in run(kind, 60)[1]) for kind in ("tpe", "random")}
    assert best["tpe"] < best["random"]


def test_a_sampler_that_does_not_exist_names_those_that_do():
    with pytest.raises(SpecError, match=r"'foo' does not exist. Known: .*tpe"):
        sampler("foo")
