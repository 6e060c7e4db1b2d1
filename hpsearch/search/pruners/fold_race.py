"""A race against the best trial so far, fold by fold, for expensive networks.

Folds are trained sequentially. After each fold, a one-sided Wilcoxon signed-rank test on the folds
of both trials decides whether this one is worse (Wilcoxon, 1945; racing: Birattari et al., "A
racing algorithm for configuring metaheuristics", 2002; compare Optuna's `WilcoxonPruner`). Folds
are the same rows in both trials, so they are compared in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ...history import History
from ...trial import Trial, orient

MAX_FOLDS = 100  # after which there may be a verdict


def min_folds_to_reject(alpha: float) -> int:
    """Return the minimum number of folds after which a trial can be rejected.

    The smallest p-value of n pairs is 1/2^n, if all of them favor the other trial.

    Examples:
        >>> min_folds_to_reject(0.1)
        4
    """
    return math.floor(math.log2(1 / alpha)) + 1


class FoldRace:
    """Prunes a trial whose folds so far are significantly worse than the best trial's.

    Examples:
        >>> FoldRace(alpha=0.1).rungs(number=0, epochs=50)[:3]  # after every fold
        (1, 2, 3)
        >>> signed_rank_p_value([-0.1, -0.2, -0.1, -0.3]) < 0.1
        True
    """

    bracket = 1

    def __init__(self, *, alpha: float = 0.1) -> None:
        """Prune if p is below `alpha`, without correction for repeated tests."""
        self._alpha = alpha

    def rungs(self, number: int, epochs: int) -> tuple[int, ...]:
        """See `Pruner`; numbers of finished folds here, whatever the epochs."""
        return tuple(range(1, MAX_FOLDS))

    def verdicts(self, waiting: Sequence[Trial], history: History) -> Mapping[int, bool]:
        """See `Pruner`."""
        return {trial.number: self._is_worse(trial, history) for trial in waiting}

    def _is_worse(self, trial: Trial, history: History) -> bool:
        best = history.best
        # A trial that reports epochs has finished its folds.
        if best is None or not best.fold_scores or trial.n_epochs or not trial.folds:
            return False
        # A fold counts by its best epoch.
        peaks = (max(orient(score, history.direction) for score in fold) for fold in trial.folds)
        pairs = zip(peaks, best.fold_scores, strict=False)
        gains = [peak - orient(other, history.direction) for peak, other in pairs]
        return signed_rank_p_value(gains) < self._alpha


def signed_rank_p_value(gains: Sequence[float]) -> float:
    """Compute the p-value under the hypothesis that both trials are equally good."""
    if not any(gains):
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(gains, alternative="less", zero_method="zsplit").pvalue)
