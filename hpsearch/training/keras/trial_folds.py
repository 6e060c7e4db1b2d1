"""The folds of a running trial, and how they are saved and restored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ...trial import Value
from ..checkpoint import decode_fitting
from ..phases import find_phase
from ..trial_progress import FrozenFolds, TrialProgress
from .architecture import Architecture
from .fold_fit import FoldFit
from .shared_model import FoldState


@dataclass(slots=True)
class TrialFolds:
    """The folds of a running trial, and their results."""

    progress: TrialProgress
    params: Mapping[str, Value]
    architectures: list[Architecture]  # of each fold's phase; empty: each fold is a `FoldFit`
    fold_states: list[FoldState | FoldFit]
    predictions: list[np.ndarray] = field(default_factory=list)  # of each fold, from the last epoch

    def close(self) -> None:
        """End the threads of folds with their own `fit`."""
        for state in self.fold_states:
            if isinstance(state, FoldFit):
                state.close()

    def freeze_folds(self) -> FrozenFolds | None:
        """Copy the folds if a checkpoint is planned; a model's own `fit` has none."""
        progress = self.progress
        if not self.architectures or not progress.plans_checkpoint(progress.n_epochs - 1):
            return None
        return [_to_numpy(state) for state in self.fold_states], self.predictions

    def restore_folds(self, get_architecture: Callable[[int], Architecture]) -> None:
        """Continue from the trial's checkpoint, if it has one that fits.

        Args:
            get_architecture: Returns the network of the phase with an index.
        """
        progress, trial = self.progress, self.progress.trial
        phase, n_folds = 0, len(self.fold_states)

        def make_states(n_epochs: int) -> list[list[np.ndarray]]:
            nonlocal phase
            phase = find_phase(progress.problem.phases, n_epochs - 1)
            if not phase:
                return [_to_numpy(state) for state in self.fold_states]
            made, params = get_architecture(phase), self.params
            return [_to_numpy(made.make_fold_state(trial, k, params)) for k in range(n_folds)]

        found = decode_fitting(trial.resume_from, make_states, trial.number)
        if found is not None:
            progress.restored = found
            self.architectures = [get_architecture(phase)] * n_folds
            self.fold_states = [[*state] for state in found.states]
            self.predictions = [*found.predictions]


def _to_numpy(state: FoldState | FoldFit) -> list[np.ndarray]:
    """Copy a fold's values from the backend's arrays."""
    from keras import ops

    assert not isinstance(state, FoldFit)
    return [np.array(ops.convert_to_numpy(value)) for value in state]
