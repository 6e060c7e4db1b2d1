"""A study of one worker whose epochs cost nothing: it keeps a history, and no journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import FloatDistribution, IntDistribution
from sampler_tasks import EPOCHS, LCBENCH_SPACE, Space

from hpsearch.event_codec import from_json
from hpsearch.history import History
from hpsearch.search.pruner import Pruner
from hpsearch.search.pruners import make_pruner
from hpsearch.search.samplers import make_sampler
from hpsearch.spec.search_space import Float, Int, SearchSpace


def our_space(space: Space = LCBENCH_SPACE) -> SearchSpace:
    """The space as a study declares it."""
    parameters: list[Float | Int] = []
    for name, d in space.items():
        if isinstance(d, IntDistribution):
            parameters.append(Int(name, d.low, d.high, log=d.log))
        elif isinstance(d, FloatDistribution):
            parameters.append(Float(name, d.low, d.high, log=d.log))
    return SearchSpace(tuple(parameters))


class SimulatedStudy:
    """A sampler and a pruner of a study, and its history."""

    def __init__(
        self,
        sampler: str,
        pruner: str,
        objectives: Sequence[dict[str, str]],
        seed: int,
        space: Space = LCBENCH_SPACE,
        epochs: int = EPOCHS,
    ) -> None:
        directions = [objective["direction"] for objective in objectives]
        direction: Any = directions if len(directions) > 1 else directions[0]
        self.sampler = make_sampler(sampler, our_space(space), direction=direction, seed=seed)
        self.pruner: Pruner = make_pruner(pruner, {}, epochs=epochs, seed=seed)
        self.history, self.epochs = History(), epochs
        self.seq = 0
        several = {"objectives": objectives} if len(objectives) > 1 else {}
        self.record("study", objective=objectives[0], **several)

    def record(self, event: str, **fields: Any) -> None:
        """What a journal would hold."""
        self.history.apply(from_json({"seq": self.seq, "time": self.seq, "event": event, **fields}))
        self.seq += 1

    def ask(self) -> int:
        """Ask for one trial; returns its number."""
        number = len(self.history.last)
        params = self.sampler.ask(number)
        assert params is not None
        self.record(
            "asked", trial=number, attempt=0, params=dict(params), seed=number, epochs=self.epochs
        )
        return number
