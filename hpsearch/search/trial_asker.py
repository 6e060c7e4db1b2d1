"""Ask the sampler for trials, record them, and tell it their results.

Enqueued points take the place of what the sampler would suggest; points that were tried are
answered with their result. The loop decides when trials are asked for, and submits them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from .. import fault_injection
from ..events import DuplicateProposed, TrialAsked
from ..trial import Trial, Value, derive_seed, max_epochs
from .event_writer import EventWriter
from .replay import replay_trials, tell_ended
from .sampler import Sampler, ask_many, copy_known_trial, make_running_trial
from .tried_points import TriedPoints

logger = logging.getLogger("hpsearch.search")

MAX_REPEATS = 20  # known points in a row that a sampler may propose


class TrialAsker:
    """Asks one sampler, which is replaced when a result that it has is replaced."""

    def __init__(
        self,
        writer: EventWriter,
        make_sampler: Callable[[], Sampler],
        *,
        memory: TriedPoints | None,
        seed: int,
        epochs: int,
        fixed: Mapping[str, Value],
        in_rounds: bool,
    ) -> None:
        self.is_exhausted = False  # whether the sampler has no more points
        self._writer = writer
        self._history = writer.history
        self._make_sampler = make_sampler
        self._sampler = make_sampler()
        self._is_outdated = False  # whether a result that the sampler has was replaced
        self._memory = memory
        self._seed = seed
        self._epochs = epochs
        self._fixed = fixed
        self._in_rounds = in_rounds
        self._untold: set[int] = set()  # ended trials whose result the sampler lacks

    def replay_earlier_runs(self) -> None:
        """Replay the study's earlier runs to the sampler."""
        self._untold = replay_trials(self._history, self._sampler, in_rounds=self._in_rounds)
        if self._memory is not None:
            for trial in self._history.trials:
                if trial.number not in self._history.outside:
                    self._memory.add(trial)

    @property
    def asks_one_by_one(self) -> bool:
        """Whether each trial depends on the previous one: a finite space can be exhausted."""
        return self._memory is not None and self._memory.is_finite

    def take_enqueued(self, wanted: int) -> list[Trial]:
        """Record up to `wanted` trials of enqueued points; the budget does not limit them."""
        events = []
        for number, point in enumerate(
            self._history.enqueued[:wanted], start=self._history.next_number
        ):
            epochs = point.epochs or max_epochs({**self._fixed, **point.params}, self._epochs)
            self._sampler.tell(make_running_trial(number, point.params, epochs=epochs))
            events.append(self._asked_event(number, point.params, epochs, point.request))
        return self._record_asked(events)

    def ask_together(self, count: int) -> list[Trial]:
        """Ask for `count` trials, and record them together; fewer if the sampler has no more."""
        begin = self._history.next_number
        points = ask_many(self._sampler, begin, count)
        self.is_exhausted = len(points) < count
        return self._record_asked(
            [self._propose(number, params) for number, params in enumerate(points, start=begin)]
        )

    def ask_trial(self) -> Trial | None:
        """Ask for one more trial, and record it; None if all points were tried."""
        number = self._history.next_number
        params = self._new_point(number)
        if params is None:
            self.is_exhausted = True
            return None
        return self._record_asked([self._propose(number, params)])[0]

    def add_result(self, number: int, *, is_replaced: bool) -> None:
        """Remember an ended trial for `tell_results`; `is_replaced`: it had a result before."""
        self._is_outdated |= is_replaced
        self._untold.add(number)

    def tell_results(self) -> None:
        """Tell the sampler the results of the trials that have ended."""
        if self._is_outdated:
            self._sampler, self._is_outdated = self._make_sampler(), False
            self._untold = replay_trials(self._history, self._sampler, in_rounds=self._in_rounds)
        for number in sorted(self._untold - self._history.outside):
            tell_ended(self._sampler, self._history.last[number])
            fault_injection.fault_point("after_tell")
        self._untold.clear()

    def _propose(self, number: int, params: Mapping[str, Value]) -> TrialAsked:
        """Return the event of a trial that the sampler has proposed."""
        return self._asked_event(number, params, self._max_epochs(number, params))

    def _asked_event(
        self, number: int, params: Mapping[str, Value], epochs: int, request: str = ""
    ) -> TrialAsked:
        return TrialAsked(
            trial=number,
            attempt=0,
            params={**self._fixed, **params},
            seed=derive_seed(self._seed, "trial", number),
            epochs=epochs,
            request=request,
        )

    def _record_asked(self, events: Sequence[TrialAsked]) -> list[Trial]:
        """Record trials before they are submitted."""
        self._writer.defer_sync(*events)
        trials = [self._history.last[event.trial] for event in events]
        for trial in trials:
            logger.debug("trial %d: asked for, %s", trial.number, trial.params)
            fault_injection.fault_point("after_ask")
            if self._memory is not None:
                self._memory.add(trial)
        return trials

    def _new_point(self, number: int) -> Mapping[str, Value] | None:
        """Get an untried point from the sampler; None if all points were tried."""
        if self._memory is None:
            return self._sampler.ask(number)
        for _ in range(MAX_REPEATS):
            params = self._sampler.ask(number)
            if params is None:
                return None
            known = self._memory.find(params, self._max_epochs(number, params))
            if known is None:
                return params
            self._tell_known_result(number, self._history.last[known])
            if self._memory.is_full:
                return None
        untried = self._memory.find_untried(self._seed, "untried", number)
        logger.info("trial %d: only known points were proposed, one is drawn: %s", number, untried)
        if untried is not None:
            self._sampler.tell(make_running_trial(number, untried))
        return untried

    def _tell_known_result(self, number: int, known: Trial) -> None:
        """Tell the sampler the result of an earlier trial with the same params."""
        logger.debug("trial %d: its point was that of trial %d", number, known.number)
        event = DuplicateProposed(
            trial=number, known_trial=known.number, state=known.state, score=known.score
        )
        self._writer.write(event, sync=False)
        self._sampler.tell(copy_known_trial(known, number, had_ended=known.is_finished))

    def _max_epochs(self, number: int, params: Mapping[str, Value]) -> int:
        return self._sampler.epochs(number) or max_epochs({**self._fixed, **params}, self._epochs)
