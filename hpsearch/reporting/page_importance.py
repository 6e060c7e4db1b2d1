"""Render the importance of each hyperparameter with its uncertainty, or why it is unknown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..history import History
from ..tracking.optuna_study import declared_space
from ..tracking.plots.ped_anova import importance_shares
from ..tracking.plots.space_plots import IMPORTANCE_TRIALS
from ..tracking.plots.thinning import representative_trials
from ..trial import orient

TRIALS_A_PARAMETER = 3  # complete trials needed per hyperparameter
MAX_TRIALS = 300  # trials used: more give the same shares
RESAMPLES = 40  # resamples of the bootstrap over the trials
LEVELS = (0.05, 0.95)


@dataclass(frozen=True, slots=True)
class ImportanceShare:
    """A hyperparameter's share of the importance."""

    name: str
    share: float
    interval: tuple[float, float]  # 90% interval of a bootstrap over the trials


@dataclass(frozen=True, slots=True)
class ImportanceEstimate:
    """The shares, and the number of trials that exist and that are needed."""

    shares: list[ImportanceShare]
    complete: int
    needed: int

    @property
    def stands_out(self) -> str:
        """Return the hyperparameter whose whole interval is above all others; "" if none is."""
        if not self.shares:
            return ""
        first, *others = self.shares
        is_above = all(first.interval[0] > other.share for other in others)
        return first.name if others and is_above else ""


def estimate_importance(history: History) -> ImportanceEstimate:
    """Estimate the shares by PED-ANOVA, largest first; none with too few complete trials."""
    space = [p for p in declared_space(history) if p.size != 1]
    needed = max(IMPORTANCE_TRIALS, TRIALS_A_PARAMETER * len(space))
    ranked = history.ranked_trials()
    if len(ranked) < needed or len(space) < 2:
        return ImportanceEstimate([], len(ranked), needed)
    numbers = {trial.number for trial in ranked}
    trials = [t for t in representative_trials(history, MAX_TRIALS) if t.number in numbers]
    losses = -orient(np.array([trial.score or 0.0 for trial in trials]), history.direction)
    points = [trial.params for trial in trials]
    shares = importance_shares(space, points, losses)
    random = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {name: [] for name in shares}
    for _ in range(RESAMPLES):
        chosen = random.integers(0, len(trials), len(trials))
        again = importance_shares(space, [points[i] for i in chosen], losses[chosen])
        for name, values in drawn.items():
            values.append(again.get(name, 0.0))
    estimates = []
    for name, share in shares.items():
        low, high = np.quantile(drawn[name], LEVELS)
        estimates.append(ImportanceShare(name, share, (float(low), float(high))))
    return ImportanceEstimate(estimates, len(ranked), needed)
