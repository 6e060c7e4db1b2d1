"""Measure how fast a network answers: as an objective besides the metrics, or when it is served.

Latency depends on the machine and its load, so it is the only result of a study that a rerun does
not reproduce. Wraps any trainer.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..trial import EpochReport, TrialResult, TrialSpec, Value
from .problem import Problem
from .trainer import ReportGenerator, Trainer

if TYPE_CHECKING:
    import keras

LATENCY = "latency_ms"  # the objective
BATCH_ROWS = 32  # per batch, the default of `keras.Model.predict`
N_WARM_UP_CALLS = 3  # warm-up calls; the first compiles
N_CALLS, N_SERVED_CALLS = 60, 10
LATENCY_QUANTILE = 0.1  # quantile of the calls that is reported: other load only lengthens calls


class LatencyTrainer:
    """Adds the latency to the results of another trainer; a `trainer.Trainer`.

    Examples:
        >>> from hpsearch.testing.executors import small_problem, small_trial
        >>> from hpsearch.training.vectorized import VectorizedTrainer
        >>> problem = small_problem()
        >>> trainer = LatencyTrainer(VectorizedTrainer(problem), problem)
        >>> *reports, result = trainer.train([small_trial(epochs=2)])
        >>> result.latency_ms > 0
        True
    """

    def __init__(self, trainer: Trainer, problem: Problem) -> None:
        """Measure what `trainer` trains."""
        self.name = trainer.name
        self.trainer = trainer
        self._problem = problem

    def train(self, trials: Sequence[TrialSpec]) -> ReportGenerator:
        """See `trainer.Trainer.train`."""
        specs = {trial.number: trial for trial in trials}
        measured: dict[int, float] = {}

        def latency_of(number: int) -> float:
            if number not in measured:
                spec = specs[number]
                measured[number] = measure_latency_ms(self._problem, spec.params, spec.seed)
            return measured[number]

        def add_cost(report: EpochReport) -> EpochReport:
            """Add the latency where the pruner decides."""
            if report.epoch + 1 not in specs[report.trial].rungs:
                return report
            return replace(report, costs={**report.costs, LATENCY: latency_of(report.trial)})

        reports = self.trainer.train(trials)
        answer: Collection[int] | None = None
        try:
            while True:
                message = reports.send(answer)
                if not isinstance(message, TrialResult):
                    message = [
                        add_cost(r) for r in message if isinstance(r, EpochReport)
                    ] or message
                elif message.state == "COMPLETE" or message.number in measured:
                    message = replace(message, latency_ms=latency_of(message.number))
                answer = yield message
        except StopIteration:
            return
        finally:
            reports.close()

    def prepare(self, trials: Sequence[TrialSpec]) -> None:
        """See `trainer.Trainer.prepare`."""
        self.trainer.prepare(trials)

    def fit(self, trial: TrialSpec) -> list[np.ndarray]:
        """See `trainer.Trainer.fit`."""
        return self.trainer.fit(trial)


def measure_latency_ms(problem: Problem, params: Mapping[str, Value], seed: int) -> float:
    """Measure `keras.Model.predict_on_batch` for `BATCH_ROWS` rows in milliseconds.

    The result is the lowest decile of `N_CALLS` calls, since mean and median would include the
    machine's other load. The network has its initial weights, which do not affect the time.
    """
    model = problem.make_builder(params, seed)()
    rows = np.random.default_rng(0).normal(size=(BATCH_ROWS, *problem.row_shape))
    return _time_calls(model, rows.astype(np.float32), N_CALLS)


def measure_ms_per_row(model: keras.Model) -> float:
    """Measure how long a served model takes for a row of a batch of `BATCH_ROWS`."""
    rows = np.zeros((BATCH_ROWS, *model.input_shape[1:]), model.inputs[0].dtype)
    return _time_calls(model, rows, N_SERVED_CALLS) / BATCH_ROWS


def _time_calls(model: keras.Model, batch: np.ndarray, n_calls: int) -> float:
    times = []
    for _ in range(N_WARM_UP_CALLS + n_calls):
        began = time.perf_counter()
        model.predict_on_batch(batch)
        times.append(time.perf_counter() - began)
    return 1000 * float(np.quantile(times[N_WARM_UP_CALLS:], LATENCY_QUANTILE))
