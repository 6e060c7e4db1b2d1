"""What a sampler of Optuna's sees of a long study: the best trials and the latest.

The tree-structured Parzen estimator compares at most 25 good trials with all others, and its cost
grows with the others (Bergstra et al., "Algorithms for hyper-parameter optimization", 2011;
Optuna's `gamma`). The 25 best are therefore always seen; of the others the latest tell how the
search draws now. What is not seen is not kept: memory is as bounded as time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...compat.optuna import StudyView, forget_trials, study_id
from ...trial import Direction, orient

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

N_BEST = 50  # trials that are seen however old they are


class BoundedStudy(StudyView):
    """An `optuna.Study` whose trials are bounded; everything else is the study's own.

    The window moves by whole blocks, so that what is seen depends on the trials alone. A trial
    that is still running when it moves stays in it.
    """

    def __init__(
        self,
        study: optuna.Study,
        storage: optuna.storages.InMemoryStorage,
        latest: int | None,
        max_running: int | None = None,
    ) -> None:
        """A view of `study` with `latest` to twice as many trials, or of all where it is None.

        Of those that run it has the latest `max_running`, or all.
        """
        super().__init__(study)
        self._storage = storage
        self._latest = latest
        self._max_running = max_running
        self.intersections: dict[bool, Any] = {}  # see `share_intersection`
        self._begin = 0  # the place of the first trial of the latest blocks
        self._old: list[int] = []  # places of earlier trials that are seen all the same

    def visible(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """See `StudyView`."""
        if self._latest is not None:
            trials = [*(trials[place] for place in self._old), *trials[self._begin :]]
        if self._max_running is None:
            return trials
        running = [t.number for t in trials if not t.state.is_finished()]
        hidden = set(running[: -self._max_running])
        return [t for t in trials if t.number not in hidden] if hidden else trials

    def advance(self, size: int) -> None:
        """The study has got its `size`-th trial: move on, and forget what is seen no more."""
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
        """Places of the best and of those that still run, ascending."""
        complete = [t for t in past if t.state.name == "COMPLETE"]
        running = [t.number for t in past if not t.state.is_finished()]
        return sorted({t.number for t in self._best_trials(complete)} | set(running))

    def _best_trials(self, complete: list[FrozenTrial]) -> list[FrozenTrial]:
        """The first half of the list by each objective in turn, where there are several."""
        directions = self._whole.directions
        found: dict[int, FrozenTrial] = {}
        for i, direction in enumerate(directions):
            goal: Direction = "maximize" if direction.name == "MAXIMIZE" else "minimize"
            ranked = sorted(complete, key=lambda t: (-orient(t.values[i], goal), t.number))
            found.update({t.number: t for t in ranked[: N_BEST // len(directions)]})
        return list(found.values())
