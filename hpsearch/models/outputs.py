"""The output layer of a network, by task."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outputs:
    """The output layer: number of units, and activation."""

    units: int
    activation: str  # "sigmoid", "softmax" or "linear"


def make_outputs(task: str, n_outputs: int) -> Outputs:
    """Make the outputs of a task: probabilities, or the number of a regression."""
    activation = {
        "binary": "sigmoid",
        "multiclass": "softmax",
        "multilabel": "sigmoid",
        "regression": "linear",
    }[task]
    return Outputs(n_outputs, activation)
