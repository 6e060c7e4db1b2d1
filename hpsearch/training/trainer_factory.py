"""Create trainers by name."""

from __future__ import annotations

from dataclasses import replace

from ..errors import TrainingError
from .problem import Problem
from .trainer import Trainer

KERAS_BACKENDS = {
    "vectorized": "jax",
    "keras_fit": "tensorflow",
}  # which a process must be started with


def make_trainer(kind: str, problem: Problem) -> Trainer:
    """Create the trainer `kind` for the trials of `problem`.

    Raises:
        TrainingError: If there is no such trainer.
    """
    if "latency_ms" in problem.cost_objectives:
        from .latency import LatencyTrainer

        return LatencyTrainer(make_trainer(kind, replace(problem, cost_objectives=())), problem)
    if kind == "vectorized":
        from .vectorized import VectorizedTrainer

        return VectorizedTrainer(problem)
    if kind == "keras_fit":
        from .keras.keras_fit import KerasFitTrainer

        return KerasFitTrainer(problem)
    raise TrainingError(
        f"trainer {kind!r} does not exist. Known: {', '.join(sorted(KERAS_BACKENDS))}."
    )
