"""Workers of a study that are no processes: each real one imports Keras, for five seconds.

For tests of what a study does, whoever trains. What a worker is told is pickled as it would be, and
so is what the process that looks at a user's model is told.
"""

import json
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hpsearch.errors import HpsearchError, SpecError
from hpsearch.execution import examination
from hpsearch.execution.inline import InlineExecutor
from hpsearch.study.prepare import Crew
from hpsearch.training.final import Answer, FinalFit, LockedPrediction
from hpsearch.training.make import make_trainer
from hpsearch.training.problem import Problem


class InlineWorker(InlineExecutor):
    """Trains here, once the study says what its trials share."""

    def __init__(self, trainer: str, population: int) -> None:
        super().__init__(None, lambda p: p and make_trainer(trainer, p), population=population)

    def set_up(self, problem: Problem) -> None:
        super().set_up(pickle.loads(pickle.dumps(problem)))

    def fit(self, final: FinalFit) -> None:
        super().fit(pickle.loads(pickle.dumps(final)))

    def predict(self, order: LockedPrediction) -> Answer:
        return pickle.loads(pickle.dumps(super().predict(pickle.loads(pickle.dumps(order)))))


class InlineCrew(Crew):
    """A crew of no processes."""

    def _start(self) -> InlineWorker:
        self.workers, self.threads = 1, 1
        return InlineWorker(self.trainer, self._population)


def examine(
    model: str, *, trainer: str, problem: Any = None, points: Any = (), losses: Any = ()
) -> Any:
    """As `examination.examine`, in this process."""
    order = (model, problem, [dict(point) for point in points], list(losses))
    try:
        answer = examination._carried_out(pickle.loads(pickle.dumps(order))).as_json()
    except HpsearchError as error:
        raise SpecError(str(error)) from None
    return examination.examined(json.loads(json.dumps(answer)))


def train_inline() -> None:
    """Let every study of this process train in it."""
    sys.modules["hpsearch.study.tune"].Crew = InlineCrew


@contextmanager
def training_inline() -> Iterator[None]:
    """Let studies train in this process for a while."""
    import hpsearch.study.users_model  # noqa: F401

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["hpsearch.study.tune"], "Crew", InlineCrew)
        patch.setattr(sys.modules["hpsearch.study.users_model"], "examine", examine)
        yield
