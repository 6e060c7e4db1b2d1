"""What a sampler of Optuna's sees of a long study: the best trials and the latest.

The tree-structured Parzen estimator compares at most 25 good trials with all others, and its
cost grows with the others (Bergstra et al., "Algorithms for hyper-parameter optimization", 2011;
Optuna's `gamma`). The 25 best are therefore always seen; of the others the latest tell how the
search draws now. What is not seen is not kept: memory is as bounded as time. Knows no sampler.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import optuna

_FORGOTTEN = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL)
BEST = 50  # trials that are seen however old they are


class Forgetful(optuna.storages.InMemoryStorage):
    """A study in memory that can let go of trials; their numbers stay taken."""

    def forget(self, numbers: Iterable[int]) -> None:
        """Let go of finished trials. Nobody may ask for them again."""
        (study,) = self._studies.values()
        for number in numbers:
            del self._trial_id_to_study_id_and_number[study.trials[number]._trial_id]
            study.trials[number] = _FORGOTTEN


class Window:
    """An `optuna.Study` whose trials are bounded; everything else is the study's own.

    The window moves by whole blocks, so that what is seen depends on the trials alone. A trial
    that is still running when it moves stays in it.
    """

    def __init__(self, study: optuna.Study, storage: Forgetful, latest: int | None) -> None:
        """A view of `study` with `latest` to twice as many trials, or of all where it is None."""
        self._whole = study
        self._storage = storage
        self._latest = latest
        self._begin = 0  # the place of the first trial of the latest blocks
        self._old: list[int] = []  # places of earlier trials that are seen all the same

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[Any] | None = None,
        use_cache: bool = False,
    ) -> list[optuna.trial.FrozenTrial]:
        trials = self._whole._storage.get_all_trials(self._whole._study_id, deepcopy=deepcopy)
        if self._latest is not None:
            trials = [*(trials[place] for place in self._old), *trials[self._begin :]]
        return trials if states is None else [t for t in trials if t.state in states]

    def grow(self, size: int) -> None:
        """The study has got its `size`-th trial: move on, and forget what is seen no more."""
        if self._latest is None:
            return
        begin = max(0, (size // self._latest - 1) * self._latest)
        if begin > self._begin:
            trials = self._storage.get_all_trials(self._whole._study_id, deepcopy=False)
            past = [trials[place] for place in self._old] + trials[self._begin : begin]
            self._begin, self._old = begin, self._kept(past)
            self._storage.forget({t.number for t in past}.difference(self._old))

    def _kept(self, past: list[optuna.trial.FrozenTrial]) -> list[int]:
        """Places of the best and of those that still run, ascending."""
        complete = [t for t in past if t.state.name == "COMPLETE"]
        running = [t.number for t in past if not t.state.is_finished()]
        return sorted({t.number for t in self._best(complete)} | set(running))

    def _best(self, complete: list[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
        """The first half of the list by each objective in turn, where there are several."""
        directions = self._whole.directions
        found: dict[int, optuna.trial.FrozenTrial] = {}
        for i, direction in enumerate(directions):
            sign = -1.0 if direction.name == "MAXIMIZE" else 1.0
            ranked = sorted(complete, key=lambda t: (sign * t.values[i], t.number))
            found.update({t.number: t for t in ranked[: BEST // len(directions)]})
        return list(found.values())
