"""Finalists: the best trials scored again, on fresh folds and seeds, and the choice among them.

The best of many noisy scores is too good: it was chosen for its luck too. A second score that
took no part in the search has no such bias, and the winner is chosen by it (Cawley & Talbot
2010, "On over-fitting in model selection", JMLR 11). Where the folds are given, as in a time
series, only the seeds are fresh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...data import Dataset
from ...errors import TrainingError
from ...events import Event, FinalistScored
from ...execution.executor import Executor, Lost
from ...history import History
from ...search.retries import MAX_ATTEMPTS
from ...training.problem import Problem
from ...trial import Direction, Trial, TrialResult, TrialSpec, derive_seed
from ..prepare import with_folds

Record = Callable[[Event], object]  # journal.append, and the listeners


@dataclass(frozen=True, slots=True)
class Finalist:
    """A trial and the score of its second, independent training."""

    trial: Trial
    score: float  # mean over the fresh folds, after exactly the epochs of the final fit
    spread: float  # standard deviation over the fresh folds
    n_folds: int

    @property
    def standard_error(self) -> float:
        """Of the mean over the folds, as if the folds were independent."""
        return self.spread / math.sqrt(self.n_folds)


def fresh_problem(problem: Problem, dataset: Dataset, seed: int) -> Problem:
    """The same problem on folds that no trial of the search has seen."""
    folds = dataset.redraw_folds(derive_seed(seed, "finalists"))
    return with_folds(replace(problem, early_stopping=None), dataset, folds)


def finalist_trials(history: History, count: int) -> list[Trial]:
    """The `count` best complete trials, best first; of the front where there is one."""
    return (history.pareto_front() or history.ranked_trials())[:count]


def rescore_trials(
    trials: Sequence[Trial],
    *,
    problem: Problem,
    executor: Executor,
    seed: int,
    record: Record,
    stop_requested: Callable[[], bool],
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Train `trials` on the folds of `problem`, and write down how each did.

    Each trains as many epochs as its final fit would and is scored after the last one, so no
    epoch is chosen by luck either. Returns early, with what is done written down, when a stop
    is requested.

    Raises:
        TrainingError: If a worker dies under one again and again.
    """
    specs = {t.number: _finalist_spec(t, seed) for t in trials}
    for spec in specs.values():
        executor.submit(spec)
    meanwhile()
    waiting = set(specs)
    while waiting:
        report = executor.wait(0.2)
        match report:
            case TrialResult():
                waiting.discard(report.number)
                record(_score_event(report, problem))
            case Lost(number, reason):
                if specs[number].attempt + 1 == MAX_ATTEMPTS:
                    raise TrainingError(f"finalist {number}: {reason}, {MAX_ATTEMPTS} times over")
                specs[number] = replace(specs[number], attempt=specs[number].attempt + 1)
                executor.submit(specs[number])
        if stop_requested():
            waiting -= set(executor.recall())


def _finalist_spec(trial: Trial, seed: int) -> TrialSpec:
    return trial.refit_spec(derive_seed(seed, "finalist", trial.number))


def _score_event(result: TrialResult, problem: Problem) -> FinalistScored:
    if result.state != "COMPLETE":
        return FinalistScored(
            trial=result.number, score=None, error=result.error, seconds=result.seconds
        )
    folds = np.asarray(result.curves[f"val/{problem.objective}"][-1], np.float64)
    return FinalistScored(
        trial=result.number,
        score=float(folds.mean()),
        spread=float(folds.std()),
        fold_scores=folds.tolist(),
        seconds=result.seconds,
    )


def rescored_finalists(history: History, trials: Sequence[Trial]) -> list[Finalist]:
    """Those of `trials` that were scored again, in their order; failed ones are left out."""
    found = []
    for trial in trials:
        again = history.finalists.get(trial.number)
        if again is not None and again.score is not None and again.spread is not None:
            n_folds = len(again.fold_scores or ())
            found.append(Finalist(trial, again.score, again.spread, n_folds))
    return found


def best_finalist(finalists: Sequence[Finalist], direction: Direction) -> Finalist:
    """The finalist with the best second score, the earliest of equals."""
    sign = 1.0 if direction == "maximize" else -1.0
    return max(finalists, key=lambda f: sign * f.score)


def simplest_finalist(finalists: Sequence[Finalist], direction: Direction) -> Finalist:
    """The one with the fewest weights among those within one standard error of the best.

    Breiman et al. 1984, "Classification and regression trees", section 3.4.3.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    best = best_finalist(finalists, direction)
    floor = sign * best.score - best.standard_error
    close = [f for f in finalists if sign * f.score >= floor]
    return min(close, key=lambda f: (f.trial.n_parameters or 0, -sign * f.score))
