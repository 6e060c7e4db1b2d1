"""The tools of `hpsearch mcp`; each calls the functions of the command of its name.

Scores are cross-validated. None of the tools reads or returns a score on locked rows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..answers.action_answers import (
    EnqueueAnswer,
    ExtendAnswer,
    PauseAnswer,
    PromoteAnswer,
    StopAnswer,
)
from ..answers.from_journal import (
    compare_trials,
    describe_status,
    describe_trial,
    list_studies,
    list_top_trials,
)
from ..answers.from_results import describe_check, describe_plan, describe_promotion
from ..answers.result_answers import CheckAnswer, PlanAnswer
from ..answers.trial_answers import (
    CompareAnswer,
    RunAnswer,
    StatusAnswer,
    StudiesAnswer,
    TopAnswer,
    TrialAnswer,
)
from ..errors import HpsearchError, PromotionError
from ..events import CURVES, TrialAsked
from ..history import History, load_history
from ..journal import find_owner, stream_records
from ..journal.inbox import post_stop
from ..promotion import NotBetterError
from ..reporting.study_follower import StudyFollower
from ..reporting.terminal_tables import trial_number
from ..spec.study_file import StudyFile
from ..study import in_use
from ..study.check import check as check_study
from ..study.maintenance.plan import plan as plan_study
from ..study.steering import (
    enqueue_point,
    extend_trial,
    pause_study,
    stop_trial,
    unpause_study,
)
from ..study.study_reader import load
from ..tracking.store import find_journal, list_journals
from ..trial import Value
from .confinement import load_confined
from .spend_limits import SpendLimits
from .study_process import StudyOrder, StudyProcess


def count_suggested(journal: Path) -> int:
    """Count the trials of a study that were not enqueued by a person or an agent."""
    return sum(
        isinstance(event, TrialAsked) and not event.attempt and not event.request
        for event in stream_records(journal, without=CURVES)
    )


class ServedRun:
    """A study that this server runs."""

    def __init__(self, study: str, process: StudyProcess, *, before: int, reserved: int) -> None:
        """Describe a run.

        Args:
            study: The study's name.
            process: Its process.
            before: Suggested trials of earlier runs.
            reserved: Trials that this run may suggest.
        """
        self.study = study
        self.process = process
        self.before = before
        self.reserved = reserved
        self.began = time.monotonic()
        self.was_seen = False  # running; from then on, its journal is locked until it ends


class AgentTools:
    """The state of a server and its tools."""

    def __init__(
        self,
        root: Path,
        limits: SpendLimits,
        *,
        tracking_uri: str | None,
        allow_code: bool,
        allow_promote: bool,
    ) -> None:
        """Serve the studies below `root`, which is the working folder."""
        self._root = root
        self._limits = limits
        self._tracking_uri = tracking_uri
        self._allow_code = allow_code
        self._allow_promote = allow_promote
        self._run: ServedRun | None = None
        self._lock = threading.RLock()  # tools are called in several threads

    # ---- study files ----

    def check(self, spec: str) -> CheckAnswer:
        """Validate a study file and describe its space and data; nothing is trained.

        `spec` is its path. Errors list every mistake with its line.
        """
        return describe_check(check_study(self._load(spec)))

    def plan(self, spec: str) -> PlanAnswer:
        """Time a few points of a study file on its data and estimate the duration of the study."""
        file = self._load(spec)
        with self._spending_time():
            return describe_plan(plan_study(file))

    # ---- studies ----

    def studies(self) -> StudiesAnswer:
        """List the studies of the folder."""
        return list_studies(list_journals(self._root))

    def status(self, study: str) -> StatusAnswer:
        """Describe a study at this moment: phase, running trials, best trial, time left."""
        return describe_status(StudyFollower(self._find(study)))

    def top(self, study: str, rows: int = 10, with_pruned: bool = False) -> TopAnswer:
        """List the best trials of a study, best first."""
        return list_top_trials(self._find(study), rows, with_pruned=with_pruned)

    def show(self, study: str, trial: int | None = None) -> TrialAnswer:
        """Describe one trial, by default the best: its folds and curves, or why it failed."""
        journal = self._find(study)
        number = trial_number(journal, "best") if trial is None else trial
        return describe_trial(journal, number)

    def compare(self, study: str, trials: list[int]) -> CompareAnswer:
        """Put trials of a study side by side."""
        return compare_trials(self._find(study), trials)

    def enqueue(
        self,
        study: str,
        params: dict[str, Value],
        like: int | None = None,
        epochs: int | None = None,
    ) -> EnqueueAnswer:
        """Add a trial with these hyperparameters to a study, which is trained next.

        Other hyperparameters are those of trial `like`, or else defaults. It counts as a trial of
        this server's budget.
        """
        journal = self._find(study)
        with self._paid_trial():
            done = enqueue_point(journal, params, like=like, epochs=epochs)
        return EnqueueAnswer(study=study, params=dict(done.params), is_running=done.is_running)

    @contextmanager
    def _paid_trial(self) -> Iterator[None]:
        """Spend a trial of the budget, unless the request for it is refused."""
        with self._lock:
            self._settle()
            self._limits.take_trial(0 if self._run is None else self._run.reserved)
            try:
                yield
            except HpsearchError:
                self._limits.trials += 1
                raise

    def extend(self, study: str, trial: int, epochs: int) -> ExtendAnswer:
        """Train a trial that has ended on to `epochs` in all; its new score replaces the old one.

        It counts as a trial of this server's budget.
        """
        journal = self._find(study)
        with self._paid_trial():
            is_running = extend_trial(journal, trial, epochs)
        return ExtendAnswer(study=study, trial=trial, epochs=epochs, is_running=is_running)

    def pause(self, study: str) -> PauseAnswer:
        """Train nothing more of a study after its running epochs, until `unpause`."""
        is_running = pause_study(self._find(study))
        return PauseAnswer(study=study, is_paused=True, is_running=is_running)

    def unpause(self, study: str) -> PauseAnswer:
        """Continue a paused study."""
        is_running = unpause_study(self._find(study))
        return PauseAnswer(study=study, is_paused=False, is_running=is_running)

    def stop(self, study: str, trial: int | None = None) -> StopAnswer:
        """Stop a trial after its epoch, or the run of a study, which `tune` continues later."""
        journal = self._find(study)
        if trial is None:
            post_stop(journal)
        is_running = trial is None or stop_trial(journal, trial)
        return StopAnswer(study=study, trial=trial, is_running=is_running)

    def promote(self, study: str, name: str) -> PromoteAnswer:
        """Put the winner of a study in use as NAME or NAME@ALIAS, if it beats the champion.

        Both are compared on the same locked rows; their scores are not returned.
        """
        if not self._allow_promote:
            raise PromotionError(
                "promote changes the registry of models: a person can allow it by starting the "
                "server with --allow-promote"
            )
        try:
            done = in_use.promote(study, name, tracking_uri=self._tracking_uri, root=self._root)
        except NotBetterError:
            raise PromotionError(
                f"{name} is unchanged: the winner of {study} is not better on the locked rows, or "
                f"cannot be compared. `hpsearch promote {study} --as {name}` tells a person more."
            ) from None
        return describe_promotion(study, replace(done, comparison=None))

    # ---- runs ----

    def start(self, spec: str, trials: int | None, minutes: float | None) -> ServedRun:
        """Start a run of a study, within the budget.

        Raises:
            HpsearchError: If this server runs a study already, or its budget is spent.
        """
        file = self._load(spec)
        with self._lock:
            self._await_exit()
            self._settle()
            if self._run is not None:
                raise HpsearchError(
                    f"this server runs {self._run.study}: wait for it, or stop it first"
                )
            journal = find_journal(self._root, file.spec.study)
            history = load_history(journal, without=CURVES) if journal else History()
            declared = file.spec.budget
            most = self._limits.limit_budget(
                history, trials or declared.trials, minutes or declared.minutes
            )
            limited = file.with_overrides([f"budget.trials={most[0]}", f"budget.minutes={most[1]}"])
            seconds = most[1] * 60 - history.seconds
            process = StudyProcess(StudyOrder(limited, self._tracking_uri, seconds))
            paid = len(history.last) + len(history.enqueued)
            before = 0 if journal is None else count_suggested(journal)
            reserved = max(0, most[0] - paid)
            self._run = ServedRun(file.spec.study, process, before=before, reserved=reserved)
            return self._run

    def describe_run(self, run: ServedRun, message: str = "") -> RunAnswer | None:
        """Describe a run; None if its study has no journal yet."""
        journal = find_journal(self._root, run.study)
        if journal is None or not journal.stat().st_size:
            return None
        status = describe_status(StudyFollower(journal))
        run.was_seen = run.was_seen or status.state == "running"
        with self._lock:
            self._settle()
            return RunAnswer(
                **dict(status),
                message=message,
                trials_left=max(0, self._limits.trials - self._count_trials()),
                minutes_left=max(0.0, self._limits.minutes - self._count_minutes()),
            )

    def close(self) -> None:
        """Stop the run, if there is one."""
        if self._run is not None:
            self._run.process.stop()

    def _await_exit(self) -> None:
        """Wait for a process that is about to exit, since its study has stopped."""
        if self._run is not None and self._run.was_seen:
            journal = find_journal(self._root, self._run.study)
            if journal is not None and find_owner(journal) is None:
                self._run.process.await_exit()

    def _settle(self) -> None:
        """Charge a run that has ended."""
        if self._run is not None and not self._run.process.is_running:
            self._limits.trials -= self._count_trials()
            self._limits.minutes -= self._count_minutes()
            self._run = None

    def _count_trials(self) -> int:
        """Count the trials of the run so far."""
        if self._run is None or (journal := find_journal(self._root, self._run.study)) is None:
            return 0
        return count_suggested(journal) - self._run.before

    def _count_minutes(self) -> float:
        return 0.0 if self._run is None else (time.monotonic() - self._run.began) / 60

    @contextmanager
    def _spending_time(self) -> Iterator[None]:
        with self._lock:
            self._settle()
            self._limits.require_minutes()
        began = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._limits.minutes -= (time.monotonic() - began) / 60

    def _load(self, spec: str) -> StudyFile:
        return load_confined(spec, self._root, allow_code=self._allow_code)

    def _find(self, study: str) -> Path:
        return load(study, self._root).journal
