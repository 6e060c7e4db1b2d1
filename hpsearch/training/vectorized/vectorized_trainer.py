"""The trainer `vectorized`: lanes on threads or as one batch, depending on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...errors import TrainingError
from ...trial import TrialSpec, Value
from ..problem import Problem
from ..trainer import ReportGenerator, Trainer
from . import session

if TYPE_CHECKING:
    from .device_data import DeviceData
    from .program_cache import ProgramCache

Placement = Literal["threads", "batch"]


class VectorizedTrainer:
    """Trains all folds of all trials in parallel; a `trainer.Trainer`.

    Examples:
        >>> from hpsearch.testing.executors import small_problem, small_trial
        >>> trainer = VectorizedTrainer(small_problem())
        >>> *reports, result = trainer.train([small_trial(epochs=2)])
        >>> len(reports), result.state
        (2, 'COMPLETE')
    """

    name = "vectorized"

    def __init__(
        self,
        problem: Problem,
        *,
        placement: Placement | None = None,
        earlier: VectorizedTrainer | None = None,
    ) -> None:
        """Copy `problem` to the device.

        Args:
            problem: The problem.
            placement: Lanes on threads or as one batch; None: chosen for the device.
            earlier: A trainer of the same rows and metrics on other folds; its compiled programs
                are reused.

        Raises:
            TrainingError: If this process has started Keras with another backend than JAX.
        """
        session.start_session()
        from .device_data import make_device_data
        from .program_cache import ProgramCache

        self.problem = problem
        placement = placement or ("threads" if session.is_on_cpu() else "batch")
        self._programs: ProgramCache
        if earlier is not None:
            placement, self._programs = earlier.placement, earlier._programs
        else:
            # A single lane may use all cores; several use one each.
            threads = placement == "batch" or len(problem.folds) == 1
            self._programs = ProgramCache(threads=threads, precision=problem.precision)
        self.placement: Placement = placement
        self._engine = self._make_engine(make_device_data(problem))

    def _make_engine(self, data: DeviceData) -> Trainer:
        if self.placement == "batch":
            from .batch_engine import BatchEngine

            return BatchEngine(self.problem, data, self._programs)
        from .thread_trainer import ThreadTrainer

        return ThreadTrainer(self.problem, data, self._programs)

    @property
    def compilations(self) -> int:
        """Number of programs that were compiled or loaded from the cache."""
        return self._programs.compilations

    def prepare(self, trials: Sequence[TrialSpec]) -> None:
        """See `trainer.Trainer.prepare`."""
        self._engine.prepare(trials)

    def train(self, trials: Sequence[TrialSpec]) -> ReportGenerator:
        """See `trainer.Trainer.train`."""
        return self._engine.train(trials)

    def fit(self, trial: TrialSpec) -> list[np.ndarray]:
        """See `trainer.Trainer.fit`.

        Raises:
            TrainingError: If the training diverges.
        """
        return self._engine.fit(trial)


def explain_unsuitable(problem: Problem, params: Mapping[str, Value], seed: int = 0) -> str | None:
    """Explain why a trial of `params` cannot be vectorized on this device; None if it can.

    An exception of a custom model is not a reason: it fails the trial in either trainer.
    """
    session.start_session()
    from .recipe import make_recipe

    try:
        make_recipe(problem, {**(problem.fixed_params or {}), **params}, seed)
    except TrainingError as error:
        return str(error)
    except Exception:
        return None
    return None
