"""The study loop: ask for trials, submit them, record their events, decide at rungs.

Separation of concerns: only this file decides what happens next. The journal is written before
anything depends on it (`event_writer.py`); the sampler proposes (`trial_asker.py`); the executor
trains; listeners (MLflow's uploader, the progress display) only receive events. `replay.py` resumes
earlier runs, `retries.py` counts dead workers. The loop uses their protocols and none of their
libraries.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby

from .. import fault_injection
from ..errors import TrainingError
from ..events import (
    SearchEnded,
    StudyPaused,
    StudyUnpaused,
    TrialAsked,
    TrialStopRequested,
)
from ..execution.executor import Executor, Lost, Report, Started, wait_for_reports
from ..history import History
from ..journal.inbox import Inbox
from ..trial import EpochReport, FoldReport, Trial, TrialResult, Value
from .checkpoint_store import CheckpointStore
from .event_writer import EventWriter
from .pruner import NoPruner, Pruner
from .retries import MAX_ATTEMPTS, Retries
from .sampler import Sampler
from .stopping_criteria import (
    SPACE_EXHAUSTED,
    StoppingCriteria,
    StopReason,
    find_stop_reason,
    time_is_up,
)
from .trial_asker import TrialAsker
from .trial_events import make_progress_event, make_result_event
from .tried_points import TriedPoints

logger = logging.getLogger("hpsearch.search")

PROGRESS = (Started, EpochReport, FoldReport)  # reports about a running trial
MAX_CONSECUTIVE_FAILURES = 5  # after which a run stops


class Search:
    """One run of the loop over a study that may have had earlier ones."""

    def __init__(
        self,
        *,
        writer: EventWriter,
        make_sampler: Callable[[], Sampler],
        executor: Executor,
        limits: StoppingCriteria,
        seed: int,
        epochs: int,
        fixed: dict[str, Value],
        pruner: Pruner | None = None,
        in_rounds: bool = False,
        memory: TriedPoints | None = None,
        checkpoints: CheckpointStore | None = None,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> None:
        """Make a loop that continues where the journal of `writer` ends.

        With `in_rounds`, new trials are suggested after all earlier ones have ended, so that
        suggestions and verdicts do not depend on the workers' speed. A point that `memory` finds
        is not trained again; the sampler gets its result, and it does not count. Samplers learn a
        trial once, so `make_sampler` makes another one when a trial's result is replaced.
        """
        self.history = writer.history
        self._writer = writer
        self._asker = TrialAsker(
            writer,
            make_sampler,
            memory=memory,
            seed=seed,
            epochs=epochs,
            fixed=fixed,
            in_rounds=in_rounds,
        )
        self._pruner = pruner or NoPruner()
        self._executor = executor
        self._limits = limits
        self._together = max(self._pruner.bracket, executor.population)  # trials per submission
        self._submitted: dict[int, tuple[int, ...]] = {}  # trial -> trials that it trains with
        self._waiting: set[int] = set()  # trials at a rung
        self._retries = Retries(in_brackets=self._pruner.bracket > 1)
        self._in_rounds = in_rounds
        self._began = time.monotonic()
        self._paused_at: float | None = None  # None: it is not paused
        self._spent = 0.0  # seconds of earlier runs
        self._ended_before = 0  # ended trials of earlier runs, whose failures may be repaired
        self._stop_requested = stop_requested
        folder = writer.journal.path.parent
        self._inbox = Inbox(folder)
        self._checkpoints = checkpoints or CheckpointStore(folder)

    def run(self) -> History:
        """Run until a stopping criterion is met or a stop is requested; wait while it is paused.

        Returns:
            The history; ended trials are condensed, and the journal has their curves.

        Raises:
            TrainingError: If too many trials in a row fail, with the last reason.
        """
        self._began = time.monotonic()
        self._replay_earlier_runs()
        if self.history.is_paused:
            self._pause()
        else:
            self._resubmit_unfinished()
        while True:
            self._receive_requests()
            if self._paused_at is not None:
                if self._stop_requested():  # running trials cannot finish
                    self._writer.flush()
                    return self.history
            else:
                self._fill_executor()
                if not self._submitted:
                    self._writer.flush()
                    self._record_end()
                    return self.history
            reports = wait_for_reports(self._executor, 0.2)
            if not (reports and isinstance(reports[0], TrialResult)):
                self._writer.flush()  # results in quick succession share a sync
            self._handle_reports(reports)
            if self._is_over():
                for number in self._executor.recall():
                    self._submitted.pop(number, None)

    def _replay_earlier_runs(self) -> None:
        """Replay the study's earlier runs to the sampler."""
        self._asker.replay_earlier_runs()
        self._spent = self.history.seconds
        self._ended_before = len(self.history.ended)
        logger.info("the journal holds %d trials", len(self.history.trials))

    def _resubmit_unfinished(self) -> None:
        """Submit again the trials that were running when an earlier run ended."""
        unfinished = [trial for trial in self.history.trials if not trial.is_finished]
        for place, group in groupby(unfinished, lambda t: t.number // self._together):
            trials = [self._next_attempt(trial) for trial in group]
            if place == self.history.next_number // self._together:  # it was incomplete
                trials += self._ask_population()
            self._submit_trials(*trials)
        self._submit_extensions(len(self.history.extensions))

    def _record_end(self) -> None:
        """Record why the search has ended, unless it was only stopped."""
        if self._stop_requested():
            return
        end = self._stop_reason() or time_is_up(self._limits)
        self._writer.write(SearchEnded(cause=end.cause, reason=end.reason))
        logger.info("search finished: %s", end.reason)
        waiting = len(self.history.enqueued) + len(self.history.extensions)
        if waiting:
            spent = time_is_up(self._limits).reason
            logger.warning("requested trials that wait: %d, as %s (budget.minutes)", waiting, spent)

    # ---- requests of the user ----

    def _receive_requests(self) -> None:
        """Record the requests that arrived while the study runs, and stop trials."""
        for file, request in self._inbox.receive():
            if not self.history.has_request(request.request):
                self._writer.write(request)
                logger.info("requested: %s", request)
            file.unlink(missing_ok=True)
            match request:
                case TrialStopRequested() if request.trial in self._submitted:
                    self._stop_trial(request.trial)
                case StudyPaused() if self.history.is_paused:
                    self._pause()
                case StudyUnpaused():
                    self._unpause()

    def _pause(self) -> None:
        """Let running trials wait after their epochs; nothing else is started."""
        if self._paused_at is None:
            self._paused_at = time.monotonic()
            self._executor.pause()
            logger.info("paused")

    def _unpause(self) -> None:
        """Continue after a pause, whose time does not count."""
        if self._paused_at is not None:
            self._began += time.monotonic() - self._paused_at
            self._paused_at = None
            self._executor.unpause()
            if not self._submitted:  # of this run or, if it began with the pause, of an earlier one
                self._resubmit_unfinished()
            logger.info("continued")

    def _stop_trial(self, number: int) -> None:
        """Stop a trial at its rung, or after its current epoch."""
        self._waiting.discard(number)
        self._executor.prune(number)

    def _submit_extensions(self, room: int) -> None:
        """Submit up to `room` ended trials that the user wants to train further."""
        if not self._is_over():
            waiting = [t for n, t in self.history.extensions.items() if n not in self._submitted]
            for trial in waiting[:room]:
                logger.info("trial %d is trained on to %d epochs", trial.number, trial.epochs)
                self._submit_trials(trial)

    # ---- asking ----

    def _fill_executor(self) -> None:
        if self._in_rounds:
            if not self._submitted:
                self._asker.tell_results()
            elif self.history.next_number % self._executor.capacity == 0:
                return  # the round has all its trials
        self._submit_extensions(max(0, self._executor.capacity - len(self._submitted)))
        while self._executor.capacity - len(self._submitted) >= self._together:
            asked = self._ask_population()
            if not asked:
                return
            self._submit_trials(*asked)

    def _ask_population(self) -> list[Trial]:
        """Ask for the trials of the next submission, up to the next multiple of their number."""
        wanted = self._together - self.history.next_number % self._together
        asked: list[Trial] = []
        if self.history.enqueued and not self._is_over():  # the budget does not limit them
            asked = self._asker.take_enqueued(wanted)
        wanted -= len(asked)
        if self._asker.asks_one_by_one:
            for _ in range(wanted):
                trial = self._asker.ask_trial() if self._wants_more() else None
                if trial is None:
                    break
                asked.append(trial)
        elif wanted and self._wants_more():
            needed = self._limits.trials - len(self.history.last)
            asked += self._asker.ask_together(min(wanted, needed))
        return asked

    def _submit_trials(self, *trials: Trial) -> None:
        if trials:
            self._writer.flush()
            numbers = tuple(trial.number for trial in trials)
            self._submitted.update(dict.fromkeys(numbers, numbers))
            logger.debug("submitted: trials %s", numbers)
            specs = (replace(t.spec, rungs=self._rungs_of(t)) for t in trials)
            self._executor.submit(
                *(self._checkpoints.prepare(s, t) for s, t in zip(specs, trials, strict=True))
            )
            fault_injection.fault_point("after_dispatch")

    def _rungs_of(self, trial: Trial) -> tuple[int, ...]:
        if self._retries.runs_single(trial.number) or trial.number in self.history.extensions:
            return ()
        return self._pruner.rungs(trial.number, trial.epochs)

    def _next_attempt(self, trial: Trial) -> Trial:
        """Return the next attempt at a trial that lost its worker or its run."""
        if trial.number in self.history.extensions:
            return trial  # it goes on with the epochs that it has
        spec = trial.spec
        self._writer.defer_sync(
            TrialAsked(
                trial=trial.number,
                attempt=trial.attempt + 1,
                params=dict(spec.params),
                seed=spec.seed,
                epochs=spec.epochs,
            )
        )
        logger.info("trial %d: attempt %d begins", trial.number, trial.attempt + 1)
        trial.drop_curves()
        return self.history.last[trial.number]

    def _wants_more(self) -> bool:
        """Whether the study needs another trial; those that were asked for are always trained."""
        return not self._is_over() and self._stop_reason() is None

    def _stop_reason(self) -> StopReason | None:
        """Return why the search should stop, apart from its time limit."""
        if self._asker.is_exhausted:
            return SPACE_EXHAUSTED
        return find_stop_reason(self.history, self._limits)

    def _is_over(self) -> bool:
        now = time.monotonic() if self._paused_at is None else self._paused_at
        seconds = self._spent + now - self._began
        return self._stop_requested() or self._limits.is_out_of_time(seconds)

    # ---- answers ----

    def _handle_reports(self, reports: Sequence[Report]) -> None:
        """Handle reports that arrived together; progress is written at once."""
        for is_progress, group in groupby(reports, key=lambda r: isinstance(r, PROGRESS)):
            if is_progress:
                self._handle_progress([r for r in group if isinstance(r, PROGRESS)])
                continue
            for report in group:
                if isinstance(report, TrialResult):
                    self._handle_result(report)
                elif isinstance(report, Lost):
                    self._handle_loss(report)

    def _handle_progress(self, reports: Sequence[Started | EpochReport | FoldReport]) -> None:
        events = [make_progress_event(r, self.history) for r in reports if not self._is_recorded(r)]
        self._writer.write_all(events, sync=False)  # lost ones are measured again
        for report in reports:
            if isinstance(report, EpochReport) and report.checkpoint is not None:
                trial = self.history.latest(report.trial)
                self._checkpoints.save(trial, report.checkpoint, self.history)
        for number in self.history.stop_requested.intersection(r.trial for r in reports):
            self._stop_trial(number)
        at_rung = {r.trial for r in reports if not isinstance(r, Started) and self._is_at_rung(r)}
        at_rung -= self.history.stop_requested
        if at_rung:
            self._waiting |= at_rung
            self._decide_rungs()

    def _is_recorded(self, report: Started | EpochReport | FoldReport) -> bool:
        """Whether the journal has an epoch already, of a trial that is trained further."""
        extension = self.history.extensions.get(report.trial)
        return (
            extension is not None
            and isinstance(report, EpochReport)
            and report.epoch < extension.n_epochs
        )

    def _is_at_rung(self, report: EpochReport | FoldReport) -> bool:
        trial = self.history.latest(report.trial)
        n_epochs = trial.n_epochs if isinstance(report, EpochReport) else report.epoch + 1
        return n_epochs in self._rungs_of(trial)

    def _decide_rungs(self) -> None:
        """Decide the trials at a rung that can be decided."""
        if self._in_rounds and not all(map(self._is_held, self._submitted)):
            return  # a trial of the round has not reached its rung
        waiting = [self.history.last[number] for number in sorted(self._waiting)]
        for number, is_pruned in self._pruner.verdicts(waiting, self.history).items():
            self._waiting.discard(number)
            self._log_verdict(self.history.last[number], is_pruned)
            (self._executor.prune if is_pruned else self._executor.resume)(number)

    def _is_held(self, number: int) -> bool:
        """Whether a trial cannot go on before a verdict: its own, or one on a companion.

        Trials of one submit advance together, and their rungs may differ. All of them have
        reported the epoch then, so that no verdict depends on which report came first.
        """
        if number in self._waiting:
            return True
        last = self.history.last
        companions = self._waiting.intersection(self._submitted[number])
        return any(last[number].n_epochs >= last[other].n_epochs for other in companions)

    def _log_verdict(self, trial: Trial, is_pruned: bool) -> None:
        level = logging.INFO if is_pruned else logging.DEBUG
        if logger.isEnabledFor(level):
            verdict = "is pruned" if is_pruned else "goes on"
            means, pruner = trial.mean_scores(), type(self._pruner).__name__
            score = f"{means[-1]:.6g}" if means else "of some folds"
            logger.log(
                level,
                "trial %d: %s after epoch %d by %s, its score there: %s, beside %d trials",
                *(
                    trial.number,
                    verdict,
                    trial.n_epochs,
                    pruner,
                    score,
                    len(self.history.trials) - 1,
                ),
            )

    def _handle_result(self, result: TrialResult) -> None:
        fault_injection.fault_point("before_result")
        del self._submitted[result.number]
        self._waiting.discard(result.number)
        is_extension = result.number in self.history.extensions
        result = self._keep_earlier_result(result)
        self._writer.defer_sync(make_result_event(result, self._writer))
        if result.state == "FAILED" and not is_extension:
            self._checkpoints.remove(result.number)
        outcome = result.error or f"score {result.score}"
        logger.info("trial %d: %s, %s", result.number, result.state, outcome)
        fault_injection.fault_point("after_result")
        self._asker.add_result(result.number, is_replaced=is_extension)
        if not self._in_rounds:
            self._asker.tell_results()
        self._stop_on_failures()
        if self._waiting:  # they may wait for this one
            self._writer.flush()
            self._decide_rungs()

    def _keep_earlier_result(self, result: TrialResult) -> TrialResult:
        """Fail an extension that was stopped before its first new epoch: it has no new result."""
        extension = self.history.extensions.get(result.number)
        if extension is None or result.state != "PRUNED":
            return result
        n_epochs = self.history.last[result.number].n_epochs
        if extension.n_epochs > n_epochs:
            return result
        reason = f"it was stopped before epoch {n_epochs + 1}, so its earlier result stays"
        return TrialResult(result.number, "FAILED", result.seconds, result.attempt, error=reason)

    def _handle_loss(self, lost: Lost) -> None:
        trial = self.history.latest(lost.trial)
        logger.info("trial %d: attempt %d is lost: %s", lost.trial, trial.attempt, lost.reason)
        self._waiting.discard(lost.trial)
        together = self._submitted[lost.trial]
        if self._retries.count_loss(lost.trial):
            reason = f"{lost.reason}; given up after {MAX_ATTEMPTS} attempts"
            self._handle_result(
                TrialResult(lost.trial, "FAILED", 0.0, attempt=trial.attempt, error=reason)
            )
        companions = [number for number in together if number in self._submitted]
        for group in self._retries.next_submissions(companions):
            self._submit_trials(*(self._next_attempt(self.history.latest(n)) for n in group))

    def _stop_on_failures(self) -> None:
        latest = self.history.ended[self._ended_before :][-MAX_CONSECUTIVE_FAILURES:]
        if len(latest) == MAX_CONSECUTIVE_FAILURES and all(t.state == "FAILED" for t in latest):
            self._writer.flush()
            raise TrainingError(
                f"{MAX_CONSECUTIVE_FAILURES} trials in a row failed, so the study stops. "
                f"The last one, trial {latest[-1].number}: {latest[-1].error} "
                "Nothing is lost: fix it and run the same command again."
            )
