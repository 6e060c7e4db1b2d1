"""Compare the winner's scores: of the search, re-scored, and on the locked rows.

The first is the maximum of many noisy scores and therefore biased; the others are not. Pure values
from a `History`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..events import WinnerEvaluated
from ..history import History
from ..trial import orient

Z = 1.959964  # of a 95% interval


@dataclass(frozen=True, slots=True)
class WinnerScore:
    """One estimate of the winner's score."""

    where: str  # label: what it was measured on
    value: float  # in the objective's unit
    interval: tuple[float, float] | None  # 95%
    of_ensemble: bool = False  # whether it is an ensemble's; else the best single trial's


def winner_scores(history: History) -> list[WinnerScore]:
    """Return the known scores, the most biased first.

    The interval of a mean over folds takes the folds as independent, which they are not quite:
    their training rows overlap, so it is a little too narrow (Nadeau & Bengio 2003).
    """
    return list(_known_scores(history))


def _known_scores(history: History) -> Iterator[WinnerScore]:
    winner = history.winner
    trial = history.winning_trial()
    if winner is None or winner.score is None or trial is None:
        return
    together = winner.is_ensemble
    whose = f", trial {trial.number} alone" if together else ""
    yield WinnerScore(f"the search{whose}", winner.score, _fold_interval(trial.fold_scores))
    again = history.finalists.get(trial.number)
    if winner.finalist_score is not None:
        folds = again.fold_scores if again else None
        where = f"fresh folds and seeds{whose}"
        yield WinnerScore(where, winner.finalist_score, _fold_interval(folds))
    if together and winner.ensemble is not None:
        yield WinnerScore("the search, the ensemble", winner.ensemble.score, None, together)
    final = history.final or WinnerEvaluated()
    if history.metric in final.test:
        between = final.intervals.get(history.metric)
        interval = None if between is None else (between[0], between[1])
        yield WinnerScore("the locked rows", final.test[history.metric], interval, together)


def _fold_interval(scores: Sequence[float] | None) -> tuple[float, float] | None:
    if not scores or len(scores) < 2:
        return None
    mean = math.fsum(scores) / len(scores)
    spread = math.sqrt(math.fsum((s - mean) ** 2 for s in scores) / (len(scores) - 1))
    half = Z * spread / math.sqrt(len(scores))
    return mean - half, mean + half


def describe_difference(history: History) -> str:
    """Describe the bias of the search's score; "" if unknown."""
    scores = winner_scores(history)
    if len(scores) < 2 or scores[0].of_ensemble != scores[1].of_ensemble:
        return ""
    first, second = scores[0], scores[1]
    gain = orient(first.value - second.value, history.direction)
    verb = "too good" if gain > 0 else "too low" if history.maximize else "too high"
    return f"The search's {history.metric} was {abs(gain):.2g} {verb}, by {second.where}."
