"""What the last layer of a network answers with, by task."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outputs:
    """The last layer: `units` numbers after `activation`."""

    units: int
    activation: str  # "sigmoid", "softmax" or "linear"


def make_outputs(task: str, n_outputs: int) -> Outputs:
    """Probabilities for a classification, the number itself for a regression."""
    activation = {
        "binary": "sigmoid",
        "multiclass": "softmax",
        "multilabel": "sigmoid",
        "regression": "linear",
    }[task]
    return Outputs(n_outputs, activation)
