"""Private parts of Optuna.

Its samplers read a study by `Study._get_trials`, so a view of a study has to answer that; and
storages in memory have no public way to let go of a trial. Importing this module does not import
Optuna.
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
    """The storage behind a study; asking and telling by it takes trials out of order."""
    return study._storage


def study_id(study: optuna.Study) -> int:
    """The number by which the storage knows the study."""
    return study._study_id


def trial_key(trial: FrozenTrial) -> tuple[int, Any]:
    """What tells a trial from those of all studies in the process."""
    return trial._trial_id, trial.datetime_start


def trials_of(study: Any) -> list[FrozenTrial]:
    """All trials of a study or of a `StudyView`, not copied."""
    trials: list[FrozenTrial] = study._get_trials(deepcopy=False, use_cache=True)
    return trials


def forget_trials(storage: optuna.storages.InMemoryStorage, numbers: Iterable[int]) -> None:
    """Let go of finished trials of the one study in memory; their numbers stay taken.

    They must not be read again.
    """
    import optuna

    forgotten = optuna.trial.create_trial(state=optuna.trial.TrialState.FAIL)
    (study,) = storage._studies.values()
    for number in numbers:
        del storage._trial_id_to_study_id_and_number[study.trials[number]._trial_id]
        study.trials[number] = forgotten


class StudyView(ABC):
    """A study of which samplers see some trials; everything else is the study's own."""

    def __init__(self, study: optuna.Study) -> None:
        self._whole = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    @abstractmethod
    def visible(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """Those of all trials that samplers see, in their order."""

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[Any] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        """What samplers call."""
        whole = self._whole
        trials = self.visible(whole._storage.get_all_trials(whole._study_id, deepcopy=deepcopy))
        return trials if states is None else [t for t in trials if t.state in states]


def qmc_sampler(index: int, space: Mapping[str, BaseDistribution], seed: int) -> Any:
    """A `QMCSampler` whose next point is the one at `index` of the sequence over `space`.

    Optuna's own takes the parameters of the first trial, and counts its points in a study's
    attributes, which do not outlive a stop. `_find_sample_id` is where it counts.
    """
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import QMCSampler

    class IndexedSampler(QMCSampler):
        def infer_relative_search_space(
            self, study: Any, trial: Any
        ) -> dict[str, BaseDistribution]:
            return dict(space)

        def _find_sample_id(self, *_: Any) -> int:  # an older Optuna gives no space
            return index

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return IndexedSampler(scramble=True, seed=seed)
