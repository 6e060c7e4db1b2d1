"""Re-score the best trials on fresh folds and seeds, and choose among them.

The maximum of many noisy scores is optimistically biased. A second score that was not used in the
search has no such bias, and determines the winner (Cawley & Talbot 2010, "On over-fitting in model
selection", JMLR 11). With given folds, as in a time series, only the seeds are fresh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...data import Dataset
from ...errors import TrainingError
from ...events import Event, FinalistScored
from ...execution.executor import Executor, Lost, submit_all
from ...history import History
from ...search.retries import MAX_ATTEMPTS
from ...training.problem import Problem
from ...trial import Direction, Trial, TrialResult, TrialSpec, derive_seed
from ..prepare import with_folds

Record = Callable[[Event], object]  # appends to the journal and calls the listeners


@dataclass(frozen=True, slots=True)
class Finalist:
    """A trial with the score of its second, independent training."""

    trial: Trial
    score: float  # mean over the fresh folds, after exactly the epochs of the final fit
    spread: float  # standard deviation over the fresh folds
    n_folds: int

    @property
    def standard_error(self) -> float:
        """Standard error of the mean over the folds, assuming independent folds."""
        return self.spread / math.sqrt(self.n_folds)


def fresh_problem(problem: Problem, dataset: Dataset, seed: int) -> Problem:
    """Return the same problem with folds that the search has not used."""
    folds = dataset.redraw_folds(derive_seed(seed, "finalists"))
    return with_folds(replace(problem, early_stopping=None), dataset, folds)


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
    """Train `trials` on the folds of `problem`, and record each score.

    Each is trained for the epochs of its final fit and scored after the last one, so that no
    epoch is selected either. Returns early if a stop is requested; finished scores are recorded.

    Raises:
        TrainingError: If workers repeatedly die while training one of them.
    """
    specs = {t.number: _finalist_spec(t, seed) for t in trials}
    submit_all(executor, list(specs.values()))
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
    """Return the re-scored trials in order, without failed ones."""
    found = []
    for trial in trials:
        again = history.finalists.get(trial.number)
        if again is not None and again.score is not None and again.spread is not None:
            n_folds = len(again.fold_scores or ())
            found.append(Finalist(trial, again.score, again.spread, n_folds))
    return found


def best_finalist(finalists: Sequence[Finalist], direction: Direction) -> Finalist:
    """Return the finalist with the best second score; of ties, the earliest."""
    sign = 1.0 if direction == "maximize" else -1.0
    return max(finalists, key=lambda f: sign * f.score)


def simplest_finalist(finalists: Sequence[Finalist], direction: Direction) -> Finalist:
    """Return the finalist with the fewest weights within one standard error of the best.

    Breiman et al. 1984, "Classification and regression trees", section 3.4.3.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    best = best_finalist(finalists, direction)
    floor = sign * best.score - best.standard_error
    close = [f for f in finalists if sign * f.score >= floor]
    return min(close, key=lambda f: (f.trial.n_parameters or 0, -sign * f.score))
