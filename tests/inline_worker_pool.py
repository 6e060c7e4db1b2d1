"""A worker pool without processes, each of which would import Keras for five seconds.

For tests of what a study does, whoever trains. Plots, the slowest step of a small study, are drawn
only where a test looks at them. What a worker is told is pickled as it would be, and
so is what the process that looks at a user's model is told.
"""

import json
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest

from hpsearch.errors import HpsearchError, SpecError
from hpsearch.execution import inspection_process
from hpsearch.execution.inline_executor import InlineExecutor
from hpsearch.study.worker_pool import WorkerPool
from hpsearch.training.final_model import (
    FinalFitDone,
    FinalFitRequest,
    LockedPredictionRequest,
    LockedPredictionResult,
)
from hpsearch.training.problem import Problem
from hpsearch.training.trainer import Trainer
from hpsearch.training.trainer_factory import make_trainer


class InlineWorker(InlineExecutor):
    """Trains here, once the study says what its trials share."""

    def __init__(self, trainer: str, population: int) -> None:
        self._kind, self._trainer = trainer, None
        super().__init__(self._next_trainer, population=population)

    def _next_trainer(self, problem: Problem) -> Trainer:
        return make_trainer(self._kind, problem, earlier=self._trainer)

    def set_up(self, problem: Problem) -> None:
        super().set_up(pickle.loads(pickle.dumps(problem)))

    def fit(self, final: FinalFitRequest) -> FinalFitDone:
        return super().fit(pickle.loads(pickle.dumps(final)))

    def predict(self, order: LockedPredictionRequest) -> LockedPredictionResult:
        return pickle.loads(pickle.dumps(super().predict(pickle.loads(pickle.dumps(order)))))


class InlineWorkerPool(WorkerPool):
    """A pool of no processes."""

    def _start_executor(self) -> InlineWorker:
        self.workers, self.threads = 1, 1
        return InlineWorker(self.trainer, self._population)


def inspect_in_process(
    model: str, *, trainer: str, problem: Any = None, points: Any = (), losses: Any = ()
) -> Any:
    """As `inspection_process.inspect_in_process`, in this process."""
    order = (model, problem, [dict(point) for point in points], list(losses))
    try:
        answer = inspection_process._carry_out(pickle.loads(pickle.dumps(order))).as_json()
    except HpsearchError as error:
        raise SpecError(str(error)) from None
    return inspection_process.parse_answer(json.loads(json.dumps(answer)))


def train_inline() -> None:
    """Let every study of this process train in it."""
    sys.modules["hpsearch.study.tune"].WorkerPool = InlineWorkerPool


@contextmanager
def training_inline(*, with_plots: bool = False) -> Iterator[None]:
    """Let studies train in this process for a while."""
    import hpsearch.study.tune  # noqa: F401
    from hpsearch.study.gallery import Gallery

    with pytest.MonkeyPatch.context() as patch:
        if not with_plots:
            for name in ("draw_interactive", "draw_search", "draw_remaining"):
                patch.setattr(Gallery, name, lambda *_: None)
        patch.setattr(import_module("hpsearch.study.tune"), "WorkerPool", InlineWorkerPool)
        patch.setattr(
            sys.modules["hpsearch.study.model_validation"], "inspect_in_process", inspect_in_process
        )
        yield
