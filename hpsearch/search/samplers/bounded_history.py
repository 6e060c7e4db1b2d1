"""Show an Optuna sampler only the best and the latest trials of a long study.

The tree-structured Parzen estimator compares at most 25 good trials with all others, and its cost
grows with the others (Bergstra et al., "Algorithms for hyper-parameter optimization", 2011;
Optuna's `gamma`). The best trials are therefore always visible, and of the others the latest.
Invisible trials are dropped, so memory is bounded, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...compat.optuna import StudyView, forget_trials, study_id
from ...trial import Direction, orient

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

N_BEST = 50  # best trials, visible at any age


class BoundedStudy(StudyView):
    """An `optuna.Study` with a bounded number of trials; otherwise a view of the study.

    The window moves by whole blocks, so that it depends only on the trials. A trial that is still
    running when the window moves stays visible.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: optuna.storages.InMemoryStorage,
        latest: int | None,
        max_running: int | None = None,
    ) -> None:
        """View `study` with `latest` to twice as many trials, or with all of them if it is None.

        Of the running trials, the latest `max_running` are visible; None: all.
        """
        super().__init__(study)
        self._storage = storage
        self._latest = latest
        self._max_running = max_running
        self.intersections: dict[bool, Any] = {}  # see `share_intersection`
        self._begin = 0  # index of the first trial of the latest blocks
        self._old: list[int] = []  # indices of earlier visible trials

    def visible(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """Return the visible trials; see `StudyView`."""
        if self._latest is not None:
            trials = [*(trials[place] for place in self._old), *trials[self._begin :]]
        if self._max_running is None:
            return trials
        running = [t.number for t in trials if not t.state.is_finished()]
        hidden = set(running[: -self._max_running])
        return [t for t in trials if t.number not in hidden] if hidden else trials

    def advance(self, size: int) -> None:
        """Move the window after the study's `size`-th trial, and drop invisible trials."""
        if self._latest is None:
            return
        begin = max(0, (size // self._latest - 1) * self._latest)
        if begin > self._begin:
            trials = self._storage.get_all_trials(study_id(self._whole), deepcopy=False)
            past = [trials[place] for place in self._old] + trials[self._begin : begin]
            self._begin, self._old = begin, self._kept_indices(past)
            self.intersections.clear()
            forget_trials(self._storage, {t.number for t in past}.difference(self._old))

    def _kept_indices(self, past: list[FrozenTrial]) -> list[int]:
        """Return the indices of the best and the running trials, ascending."""
        complete = [t for t in past if t.state.name == "COMPLETE"]
        running = [t.number for t in past if not t.state.is_finished()]
        return sorted({t.number for t in self._best_trials(complete)} | set(running))

    def _best_trials(self, complete: list[FrozenTrial]) -> list[FrozenTrial]:
        """Return the best trials; with several objectives, the best by each in turn."""
        directions = self._whole.directions
        found: dict[int, FrozenTrial] = {}
        for i, direction in enumerate(directions):
            goal: Direction = "maximize" if direction.name == "MAXIMIZE" else "minimize"
            ranked = sorted(complete, key=lambda t: (-orient(t.values[i], goal), t.number))
            found.update({t.number: t for t in ranked[: N_BEST // len(directions)]})
        return list(found.values())
