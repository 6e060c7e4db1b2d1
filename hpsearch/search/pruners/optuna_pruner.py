"""Adapter for Optuna's stateless pruners.

They read an in-memory Optuna study with the completed trials and the waiting one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...history import History
from ...trial import Trial

if TYPE_CHECKING:
    import optuna


class OptunaPruner:
    """Prunes after every epoch from `min_epochs` on with one of Optuna's pruners.

    Examples:
        >>> from optuna.pruners import MedianPruner
        >>> OptunaPruner(MedianPruner, min_epochs=3).rungs(number=0, epochs=6)
        (3, 4, 5)
    """

    bracket = 1

    def __init__(
        self, make: Callable[[], optuna.pruners.BasePruner], *, min_epochs: int = 1
    ) -> None:
        """Create a pruner; `make` is called at the first verdict: importing Optuna is slow."""
        self._make = make
        self._min_epochs = min_epochs
        self._pruner: optuna.pruners.BasePruner | None = None
        self._study: optuna.Study | None = None
        self._known: set[tuple[int, int]] = set()  # completed trials in the study

    def rungs(self, number: int, epochs: int) -> tuple[int, ...]:
        """See `Pruner`."""
        return tuple(range(self._min_epochs, epochs))

    def verdicts(self, waiting: Sequence[Trial], history: History) -> Mapping[int, bool]:
        """See `Pruner`."""
        study = self._update_study(history)
        if self._pruner is None:
            self._pruner = self._make()
        return {t.number: bool(self._pruner.prune(study, _as_running_trial(t))) for t in waiting}

    def _update_study(self, history: History) -> optuna.Study:
        import optuna

        if self._study is None:
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            self._study = optuna.create_study(direction=history.direction)
        for trial in history.ended:
            key = trial.number, trial.attempt
            if trial.state == "COMPLETE" and key not in self._known and trial.score is not None:
                self._known.add(key)
                curve = _extend_curve(trial)
                frozen = optuna.trial.create_trial(
                    value=trial.score, intermediate_values=dict(enumerate(curve, start=1))
                )
                self._study.add_trial(frozen)
        return self._study


def _as_running_trial(trial: Trial) -> optuna.trial.FrozenTrial:
    import optuna

    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        intermediate_values=dict(enumerate(trial.mean_scores(), start=1)),
    )


def _extend_curve(trial: Trial) -> list[float]:
    """Extend the curve of a trial that stopped early by its score."""
    means = trial.mean_scores()
    assert trial.score is not None
    return [*means, *[trial.score] * (trial.epochs - len(means))]
