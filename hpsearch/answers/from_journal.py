"""Build answers from journals: studies, trials and the status of a study.

None of them has a score on locked rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from ..errors import JournalError
from ..events import CURVES
from ..history import History, load_history
from ..platforms.locks import find_holder
from ..reporting.study_follower import StudyFollower
from ..reporting.study_status import study_status
from ..reporting.terminal_tables import merge_pruned, param_names, rank_front_first
from ..trial import Trial, mean
from .answer import format_time
from .trial_answers import (
    CompareAnswer,
    RungAnswer,
    RunningTrial,
    StatusAnswer,
    StudiesAnswer,
    StudySummary,
    TopAnswer,
    TrialAnswer,
    TrialSummary,
)


class TrialSummaries:
    """Summaries of the trials of one study, with their ranks."""

    def __init__(self, history: History) -> None:
        """Rank the trials of `history`."""
        self.ranked = rank_front_first(history)
        self._ranks = {t.number: rank for rank, t in enumerate(self.ranked, start=1)}
        self._history = history
        self._front = {trial.number for trial in history.pareto_front()}
        self._winner = history.winning_trial() if history.winner else None

    def summarize(self, trial: Trial) -> TrialSummary:
        """Summarize one trial."""
        return TrialSummary(**self.list_fields(trial))

    def list_fields(self, trial: Trial) -> dict[str, Any]:
        """Return the fields of a `TrialSummary`."""
        return {
            "trial": trial.number,
            "state": trial.state,
            "score": trial.score,
            "score_std": trial.spread,
            "values": None if trial.values is None else list(trial.values),
            "best_epoch": None if trial.best_epoch is None else trial.best_epoch + 1,
            "seconds": trial.seconds,
            "params": dict(trial.params),
            "rank": self._ranks.get(trial.number),
            "is_winner": trial is self._winner,
            "violations": self._history.violations(trial),
            "on_front": trial.number in self._front,
        }


def list_studies(journals: Iterable[Path]) -> StudiesAnswer:
    """Summarize the studies of some journals, in their order."""
    return StudiesAnswer(studies=[_summarize_study(journal) for journal in journals])


def _summarize_study(journal: Path) -> StudySummary:
    name = journal.parent.name
    try:
        history = load_history(journal, without=CURVES)
    except JournalError:
        history, state, last = History(), "damaged", None
    else:
        state, last = _find_state(journal, history), format_time(history.last_time)
    best = history.winning_trial()
    return StudySummary(
        study=name,
        state=state,
        trials=len(history.trials),
        metric=history.metric,
        direction=history.direction,
        score=best.score if best else None,
        score_std=best.spread if best else None,
        last_event=last,
        note=history.note,
    )


def _find_state(journal: Path, history: History) -> Literal["running", "finished", "stopped"]:
    with suppress(OSError):
        if find_holder(journal.with_suffix(".lock")):
            return "running"
    return "finished" if history.is_concluded else "stopped"


def list_top_trials(journal: Path, rows: int, *, with_pruned: bool = False) -> TopAnswer:
    """List the best trials; optionally with pruned ones, by their last score."""
    history = load_history(journal, without=CURVES)
    summaries = TrialSummaries(history)
    ranked = summaries.ranked
    shown = merge_pruned(history, ranked) if with_pruned else ranked
    return TopAnswer(
        **_name_study(history),
        counts=Counter(trial.state.lower() for trial in history.trials),
        trials=[summaries.summarize(trial) for trial in shown[:rows]],
        ended=history.end.reason if history.end else "",
    )


def describe_trial(journal: Path, number: int) -> TrialAnswer:
    """Describe one trial with its folds and curves.

    Raises:
        JournalError: If the trial does not exist.
    """
    history = load_history(journal, without=CURVES, but_of=(number,))
    trial = history.find_trial(number)
    curves = {history.metric: list(trial.mean_scores())}
    curves |= {name: [mean(folds) for folds in rows] for name, rows in trial.curves.items()}
    return TrialAnswer(
        **_name_study(history),
        **TrialSummaries(history).list_fields(trial),
        epochs=trial.n_epochs,
        max_epochs=trial.epochs,
        seed=trial.seed,
        attempt=trial.attempt,
        n_parameters=trial.n_parameters,
        trainer=trial.trainer,
        fold_scores=list(trial.fold_scores or ()),
        curves=curves,
        error=trial.error,
        traceback=trial.traceback,
    )


def compare_trials(journal: Path, numbers: Sequence[int]) -> CompareAnswer:
    """Put trials side by side.

    Raises:
        JournalError: If a trial does not exist.
    """
    history = load_history(journal, without=CURVES)
    chosen = [history.find_trial(number) for number in numbers]
    summaries = TrialSummaries(history)
    return CompareAnswer(
        **_name_study(history),
        trials=[summaries.summarize(trial) for trial in chosen],
        differing=_find_differing(chosen),
    )


def _find_differing(chosen: Collection[Trial]) -> list[str]:
    return [
        name
        for name in param_names(chosen)
        if any(t.params.get(name) != u.params.get(name) for t in chosen for u in chosen)
    ]


def describe_status(follower: StudyFollower) -> StatusAnswer:
    """Describe a study at this moment."""
    history, status = follower.history, study_status(follower)
    best = history.winning_trial()
    return StatusAnswer(
        **_name_study(history),
        state=status.state,
        is_paused=history.is_paused,
        phase=status.phase,
        done=status.done,
        total=status.total,
        best=TrialSummaries(history).summarize(best) if best else None,
        running=[
            RunningTrial(
                trial=trial.number,
                epoch=trial.n_epochs,
                max_epochs=trial.epochs,
                params=dict(trial.params),
            )
            for trial in status.running
        ],
        enqueued=[dict(point) for point in status.enqueued],
        rungs=[
            RungAnswer(epochs=rung.epochs, reached=rung.reached, pruned=rung.pruned)
            for rung in status.rungs
        ],
        seconds=status.seconds,
        training_seconds=status.training_seconds,
        trials_per_minute=status.trials_per_minute,
        seconds_left=status.seconds_left,
        ended=history.end.reason if history.end else "",
    )


def _name_study(history: History) -> dict[str, Any]:
    return {"study": history.name, "metric": history.metric, "direction": history.direction}
