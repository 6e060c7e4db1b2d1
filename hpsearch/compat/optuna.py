"""Private parts of Optuna.

Samplers read a study by `Study._get_trials`, which a view of a study must therefore provide, the
in-memory storage has no public way to delete a trial, a trial in a storage has no public way to get
a constraint, and samplers have no public way to share
their caches. Importing this module does not import Optuna.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial


def storage_of(study: optuna.Study) -> optuna.storages.BaseStorage:
    """Return the storage of a study, which allows to add trials in any order."""
    return study._storage


def study_id(study: optuna.Study) -> int:
    """Return the study's id in the storage."""
    return study._study_id


def unique_trial_id(trial: FrozenTrial) -> tuple[int, Any]:
    """Return an id of the trial that is unique in the process."""
    return trial._trial_id, trial.datetime_start


def trials_of(study: Any) -> list[FrozenTrial]:
    """Return all trials of a study or a `StudyView` without copying them."""
    trials: list[FrozenTrial] = study._get_trials(deepcopy=False, use_cache=True)
    return trials


def forget_trials(storage: optuna.storages.InMemoryStorage, numbers: Iterable[int]) -> None:
    """Delete finished trials of the only study in memory; their numbers are not reused.

    The trials must not be read again.
    """
    import optuna

    forgotten = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL)
    (study,) = storage._studies.values()
    for number in numbers:
        del storage._trial_id_to_study_id_and_number[study.trials[number]._trial_id]
        study.trials[number] = forgotten


def set_constraint(
    storage: optuna.storages.BaseStorage, trial_id: int, key: str, value: float
) -> None:
    """Set a constraint of a running trial, as `Trial.set_constraint`; above 0: violated."""
    storage.set_trial_system_attr(trial_id, f"constraints:{key}", value)


def share_intersection(sampler: Any, known: dict[bool, Any]) -> None:
    """Share the cached intersection of all trials' parameters between samplers.

    Optuna's samplers cache the parameters that all trials have in common, and read only new trials.
    A sampler that is created for every trial would read all of them.

    Args:
        sampler: A sampler of Optuna.
        known: The cached results, by whether pruned trials are included. Clear it when trials are
            hidden.
    """
    from optuna.search_space import IntersectionSearchSpace

    own = getattr(sampler, "_search_space", None)
    if isinstance(own, IntersectionSearchSpace) and hasattr(own, "_include_pruned"):
        sampler._search_space = known.setdefault(own._include_pruned, own)


class StudyView(ABC):
    """A study whose samplers see only some trials; other attributes are the study's."""

    def __init__(self, study: optuna.Study) -> None:
        self._whole = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    @abstractmethod
    def visible(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials that samplers see, in order."""

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[Any] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        """Called by samplers."""
        whole = self._whole
        trials = self.visible(whole._storage.get_all_trials(whole._study_id, deepcopy=deepcopy))
        return trials if states is None else [t for t in trials if t.state in states]


def qmc_sampler(index: int, space: Mapping[str, BaseDistribution], seed: int) -> Any:
    """Make a `QMCSampler` whose next point is at `index` of the sequence over `space`.

    Optuna's sampler uses the parameters of the first trial, and counts points in study attributes,
    which are lost when a study is stopped. `_find_sample_id` returns the count.
    """
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import QMCSampler

    class IndexedSampler(QMCSampler):
        def infer_relative_search_space(
            self, study: Any, trial: Any
        ) -> dict[str, BaseDistribution]:
            return dict(space)

        def _find_sample_id(self, *_: Any) -> int:
            return index

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return IndexedSampler(scramble=True, seed=seed)
