"""What a worker does with its orders, in which order."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from small_problem import problem, trial

from hpsearch.execution import worker as module
from hpsearch.execution.messages import Population, Recall, Setup
from hpsearch.trial import TrialResult, TrialSpec

SETUP = Setup(problem(), "vectorized")


class Line:
    """A connection over which some orders arrive before the worker carries out the first."""

    def __init__(self, *orders: Any) -> None:
        self._orders, self.sent = iter(orders), list[Any]()

    def recv(self) -> Any:
        return next(self._orders)

    def send(self, report: Any) -> None:
        self.sent.append(report)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What trainers are asked for: which of them, what, and for which trial."""
    made: list[tuple[Any, ...]] = []
    n_trainers = 0

    class Recorder:
        def __init__(self, number: int) -> None:
            self._number = number

        def prepare(self, trials: Sequence[TrialSpec]) -> None:
            made.append((self._number, "prepare", trials[0].number))

        def train(self, trials: Sequence[TrialSpec]) -> Iterator[TrialResult]:
            made.append((self._number, "train", trials[0].number))
            yield TrialResult(trials[0].number, "COMPLETE", 0.0)

    def make_trainer(*_: Any, **__: Any) -> Recorder:
        nonlocal n_trainers
        n_trainers += 1
        return Recorder(n_trainers)

    monkeypatch.setattr(module, "make_trainer", make_trainer)
    return made


def run_worker(*orders: Any) -> Line:
    line = Line(*orders, None)
    worker = module.Worker(line)
    with suppress(StopIteration):
        worker.listen()
    worker.run_orders()
    return line


def test_trials_that_arrive_before_their_trainer_exists_are_prepared_by_it(
    calls: list[tuple[Any, ...]],
) -> None:
    populations = [Population((trial(number),)) for number in range(4)]
    run_worker(SETUP, *populations[:2], SETUP, *populations[2:])
    first = [(1, "prepare", 0), (1, "prepare", 1), (1, "train", 0), (1, "train", 1)]
    second = [(2, "prepare", 2), (2, "prepare", 3), (2, "train", 2), (2, "train", 3)]
    assert [*first, *second] == calls


def test_trials_that_are_taken_back_before_their_trainer_exists_are_not_prepared(
    calls: list[tuple[Any, ...]],
) -> None:
    line = run_worker(SETUP, Population((trial(5),)), Recall(), Population((trial(6),)))
    assert [(5,)] == [message.trials for message in line.sent if hasattr(message, "trials")]
    assert [(1, "prepare", 6), (1, "train", 6)] == calls
