"""The contract of samplers; see `hpsearch.search.sampler.Sampler`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log10
from typing import Any, Literal

import pytest

from ..search.sampler import Sampler, ask_many
from ..spec.conditions import NumberRange
from ..spec.constraints import parse_constraint
from ..spec.search_space import Categorical, Float, Int, SearchSpace
from ..trial import Trial

State = Literal["RUNNING", "COMPLETE", "PRUNED", "FAILED"]
MIXED: tuple[State, ...] = ("COMPLETE", "PRUNED", "COMPLETE", "FAILED")
MANY = 20  # trials that are asked for at once: more than a sampler may look at one by one
Make = Callable[[SearchSpace, int], Sampler]


def mixed_space(step: float | None = None, constraints: Sequence[str] = ()) -> SearchSpace:
    """Make a mixed space with conditions of depth two; finite if the floats have a step."""
    return SearchSpace(
        (
            Categorical("kind", ("a", True, 1, 1.0, None)),
            Float("lr", 0.1, 0.9, step=step) if step else Float("lr", 1e-4, 1e-1, log=True),
            Float("rate", 0.0, 0.5, step=0.1),
            Int("units", 8, 10 if step else 64, log=True),
            Int("even", 2, 20, step=2),
            Float("child", 0.0, 1.0, step=step, when={"kind": ("a",)}),
            Int("grandchild", 1, 3, when={"kind": ("a",), "even": NumberRange(high=8)}),
            Int("single", 4, 4),
            Int("both", 1, 2, when={"kind": ("a",)}),
            Int("both", 8, 9, when={"kind": (True,)}),
        ),
        tuple(map(parse_constraint, constraints)),
    )


def ended_trial(number: int, params: Mapping[str, Any], state: State = "COMPLETE") -> Trial:
    """Make a finished or running trial of `mixed_space`; its score is minimized."""
    score = abs(log10(params["lr"]) + 2) + params["rate"]
    has_ended = state in ("COMPLETE", "PRUNED", "FAILED")
    is_complete = state == "COMPLETE"
    return Trial(
        number=number,
        attempt=0,
        params={"fixed": 1, **params},
        seed=0,
        epochs=2,
        asked=0,
        scores=[[score + 1], [score]] if has_ended else [],
        state=state,
        score=score if is_complete else None,
        fold_scores=[score - 0.1, score + 0.1] if is_complete else None,
        best_epoch=1,
    )


@dataclass(frozen=True)
class SamplerCase:
    """A sampler under test.

    Attributes:
        make: Called with (space, seed); returns a new sampler with one minimized objective.
        length: Number of trials of a run.
        is_finite: Whether it only supports spaces of listed values, as a grid does.
        ignores_seed: Whether its order is the same for every seed.
    """

    make: Make
    length: int = 24
    is_finite: bool = False
    ignores_seed: bool = False

    def space(self, *constraints: str) -> SearchSpace:
        """The space of the suggestions."""
        return mixed_space(0.2 if self.is_finite else None, constraints)

    def sampler(self, seed: int = 5) -> Sampler:
        """Make a new sampler."""
        return self.make(self.space(), seed)

    def run(
        self,
        sampler: Sampler | None = None,
        *,
        start: Sequence[Trial] = (),
        states: Sequence[State] = ("COMPLETE",),
    ) -> list[Trial]:
        """Run a new sampler that is first given the trials in `start`; returns all trials."""
        sampler = sampler or self.sampler()
        trials = list(start)
        for trial in trials:
            sampler.tell(replace(trial, state="RUNNING", score=None, scores=[]))
            sampler.tell(trial)
        for number in range(len(trials), self.length):
            params = sampler.ask(number)
            assert params is not None
            trials.append(ended_trial(number, params, states[number % len(states)]))
            sampler.tell(trials[-1])
        return trials


def points_of(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return the suggested points."""
    return [{k: v for k, v in trial.params.items() if k != "fixed"} for trial in trials]


class SamplerContract:
    """Inherit from it and provide a fixture `case` that returns a `SamplerCase`."""

    def test_suggestions_lie_in_the_space_and_conditions_hold(self, case: SamplerCase) -> None:
        for params in points_of(case.run()):
            assert case.space().why_invalid(params) is None

    def test_constraints_hold(self, case: SamplerCase) -> None:
        space = case.space("units * even <= 200")
        for params in points_of(case.run(case.make(space, 5))):
            assert space.why_invalid(params) is None

    def test_the_same_seed_suggests_the_same(self, case: SamplerCase) -> None:
        assert points_of(case.run()) == points_of(case.run())

    def test_another_seed_suggests_otherwise(self, case: SamplerCase) -> None:
        if case.ignores_seed:
            pytest.skip("its order is the same for every seed")
        assert case.sampler(5).ask(0) != case.sampler(6).ask(0)

    @pytest.mark.parametrize("stop", [3, 6, 14])
    def test_one_made_anew_and_told_the_same_goes_on_the_same_way(
        self, case: SamplerCase, stop: int
    ) -> None:
        whole = case.run(states=MIXED)
        assert points_of(whole) == points_of(case.run(start=whole[:stop], states=MIXED))

    def test_failed_and_pruned_trials_are_taken_in(self, case: SamplerCase) -> None:
        assert case.length == len(case.run(states=("PRUNED", "FAILED", "COMPLETE")))

    def test_a_running_trial_of_an_earlier_life_can_be_told_when_it_ends(
        self, case: SamplerCase
    ) -> None:
        params = case.sampler().ask(0)
        assert params is not None
        again = case.sampler()
        again.tell(ended_trial(0, params, "RUNNING"))
        again.tell(ended_trial(0, params))
        after = again.ask(1)
        assert after is not None
        assert case.space().why_invalid(after) is None

    def test_a_number_whose_first_point_was_known_is_asked_for_again(
        self, case: SamplerCase
    ) -> None:
        sampler = case.sampler()
        start = sampler.ask(0)
        assert start is not None
        sampler.tell(ended_trial(0, start))
        first = sampler.ask(1)
        assert first is not None
        sampler.tell(ended_trial(1, first, "FAILED"))
        second = sampler.ask(1)
        assert second is not None
        sampler.tell(ended_trial(1, second))
        assert case.space().why_invalid(second) is None
        assert first != second

    def test_a_batch_of_asks_without_a_tell_is_diverse(self, case: SamplerCase) -> None:
        sampler = case.sampler()
        case.run(sampler)
        batch = [sampler.ask(number) for number in range(case.length, case.length + 8)]
        assert None not in batch
        assert len({repr(params) for params in batch}) == 8

    def test_many_at_once_are_what_as_many_asks_propose(self, case: SamplerCase) -> None:
        together, one_by_one = case.sampler(), case.sampler()
        for sampler in (together, one_by_one):
            case.run(sampler)
        numbers = range(case.length, case.length + MANY)
        assert ask_many(together, case.length, MANY) == [one_by_one.ask(n) for n in numbers]

    def test_a_batch_that_was_cut_short_goes_on_as_it_would_have(self, case: SamplerCase) -> None:
        """The journal tells which of its trials were asked for before the process was killed."""
        whole = case.sampler()
        known = case.run(whole)
        batch = ask_many(whole, case.length, MANY)
        again = case.sampler()
        case.run(again, start=known)
        for index in range(5):
            again.tell(ended_trial(case.length + index, batch[index], "RUNNING"))
        assert batch[5:] == ask_many(again, case.length + 5, MANY - 5)

    def test_a_large_batch_is_spread(self, case: SamplerCase) -> None:
        sampler = case.sampler()
        case.run(sampler)
        batch = ask_many(sampler, case.length, 2 * MANY)
        assert len({repr(params) for params in batch}) > MANY  # some breed, and repeat parents
        if not (case.is_finite or case.ignores_seed):  # a grid lists one value after the other
            rates = [log10(float(params["lr"] or 0)) for params in batch]
            assert max(rates) - min(rates) > 0.05  # of 3, though the best one is known by now
            assert len({repr(params["kind"]) for params in batch}) > 1

    def test_a_stop_while_a_trial_runs_changes_nothing(self, case: SamplerCase) -> None:
        """One trial is suggested while another runs, as with several workers."""

        def go_on(sampler: Sampler, asked: dict[int, Any]) -> dict[int, Any]:
            for number in range(len(asked), 11):
                asked[number] = sampler.ask(number)
                if number:
                    state = MIXED[number % 4]
                    sampler.tell(ended_trial(number - 1, asked[number - 1], state))
            return asked

        whole = go_on(case.sampler(), {})
        again = case.sampler()
        for number in range(7):  # as replayed from the journal
            again.tell(ended_trial(number, whole[number], "RUNNING"))
            if number:
                again.tell(ended_trial(number - 1, whole[number - 1], MIXED[number % 4]))
        assert whole == go_on(again, {number: whole[number] for number in range(7)})
