"""Out-of-fold predictions for the choice of a threshold or an ensemble.

Missing, empty or damaged ones are recomputed by training the trial again, so the choice does not
depend on lost files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...events import Event, PredictionsRestored
from ...execution.executor import Executor, Lost, submit_all
from ...search.event_writer import load_predictions, save_predictions
from ...search.retries import MAX_ATTEMPTS
from ...training.problem import Problem
from ...trial import Trial, TrialResult
from ..result import StudyStopped

logger = logging.getLogger("hpsearch.study")


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Reads predictions from files, or recomputes them."""

    folder: Path  # the study's folder
    problem: Problem  # problem of the search
    executor: Executor
    record: Callable[[Event], object]  # `Journal.append`
    stop_requested: Callable[[], bool]

    def predictions_of(self, trials: Sequence[Trial]) -> dict[int, np.ndarray]:
        """Return predictions, (n_rows, n_outputs), by trial number, in the order of `trials`.

        A trial that cannot be trained again is omitted with a warning.

        Raises:
            StudyStopped: If a stop is requested in the meantime.
        """
        found = {t.number: p for t in trials if (p := self._load_predictions(t)) is not None}
        missing = [t for t in trials if t.number not in found]
        if missing:
            listed = ", ".join(str(t.number) for t in missing)
            logger.warning(
                "out-of-fold predictions are missing or damaged and are computed again by "
                "training the trials once more: %s",
                listed,
            )
            found |= self._retrain(missing)
        return {t.number: found[t.number] for t in trials if t.number in found}

    def _load_predictions(self, trial: Trial) -> np.ndarray | None:
        found = load_predictions(self.folder, trial)
        if found is None or found.dtype.kind != "f":
            return None
        shape = (len(self.problem.target), self.problem.n_outputs)
        return found if found.shape == shape else None

    def _retrain(self, trials: Sequence[Trial]) -> dict[int, np.ndarray]:
        self.executor.set_up(self.problem)
        specs = {t.number: t.retrain_spec for t in trials}
        known = {t.number: t for t in trials}
        submit_all(self.executor, list(specs.values()))
        made: dict[int, np.ndarray] = {}
        while specs:
            match self.executor.wait(0.2):
                case TrialResult() as result:
                    del specs[result.number]
                    if result.predictions is None:
                        _warn_of_failure(result.number, result.error or "it has no predictions")
                    else:
                        made[result.number] = result.predictions
                        self._save_predictions(known[result.number], result)
                case Lost(number, reason):
                    spec = specs.pop(number)
                    if spec.attempt + 1 < known[number].attempt + MAX_ATTEMPTS:
                        specs[number] = replace(spec, attempt=spec.attempt + 1)
                        self.executor.submit(specs[number])
                    else:
                        _warn_of_failure(number, reason)
            if self.stop_requested():
                self.executor.recall()
                raise StudyStopped("stopped while predictions were computed again; nothing is lost")
        return made

    def _save_predictions(self, trial: Trial, result: TrialResult) -> None:
        """Save recomputed predictions and record them; a failed write is only a warning."""
        assert result.predictions is not None
        if result.score != trial.score:
            logger.warning(
                "trial %d trained again has the score %s, not %s; its predictions are those of "
                "the new training",
                trial.number,
                result.score,
                trial.score,
            )
        try:
            name, crc32 = save_predictions(self.folder, trial.number, result.predictions)
        except OSError as error:
            reason = error.strerror or error
            logger.warning("predictions of trial %d are not kept: %s", trial.number, reason)
            return
        self.record(
            PredictionsRestored(trial=trial.number, attempt=trial.attempt, file=name, crc32=crc32)
        )


def _warn_of_failure(number: int, reason: str) -> None:
    logger.warning("trial %d could not be trained again: %s", number, reason)
