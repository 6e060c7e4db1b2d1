"""Create trainers by name."""

from __future__ import annotations

from dataclasses import replace

from ..errors import TrainingError
from .problem import Problem
from .trainer import Trainer

KERAS_BACKENDS = {
    "vectorized": "jax",
    "keras_fit": "tensorflow",
}  # backend with which a process must be started


def make_trainer(kind: str, problem: Problem, *, earlier: Trainer | None = None) -> Trainer:
    """Create the trainer `kind` for the trials of `problem`.

    Args:
        kind: A key of `KERAS_BACKENDS`.
        problem: What the trials share.
        earlier: A trainer of the same study on other folds, whose compiled programs are reused.

    Raises:
        TrainingError: If the trainer does not exist.
    """
    if "latency_ms" in problem.cost_objectives:
        from .latency import LatencyTrainer

        own = earlier.trainer if isinstance(earlier, LatencyTrainer) else None
        others = tuple(cost for cost in problem.cost_objectives if cost != "latency_ms")
        alone = replace(problem, cost_objectives=others)
        return LatencyTrainer(make_trainer(kind, alone, earlier=own), problem)
    if kind == "vectorized":
        from .vectorized import VectorizedTrainer

        same = earlier if isinstance(earlier, VectorizedTrainer) else None
        return VectorizedTrainer(problem, earlier=same)
    if kind == "keras_fit":
        from .keras.keras_fit import KerasFitTrainer

        return KerasFitTrainer(problem)
    raise TrainingError(
        f"trainer {kind!r} does not exist. Known: {', '.join(sorted(KERAS_BACKENDS))}."
    )
