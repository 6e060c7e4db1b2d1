"""Hyperparameters as Optuna and Keras Tuner hold them.

Both take 1, 1.0 and True for the same choice, so a choice is encoded as its index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .spec.search_space import Categorical, Float, Int, Parameter
from .trial import Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

OPTUNA_STATES = {"COMPLETE": "COMPLETE", "PRUNED": "PRUNED", "FAILED": "FAIL"}  # all others run


def encode_value(p: Parameter, value: Value) -> Value:
    """A choice as its index; a number as it is."""
    return p.index(value) if isinstance(p, Categorical) else value


def decode_value(p: Parameter, value: Any) -> Value:
    """The opposite of `encode_value`, in Python's own types and within the bounds."""
    match p:
        case Categorical():
            return p.choices[int(value)]
        case Int():
            return int(value)
        case Float():
            return min(max(float(value), p.low), p.max_value)


def decode_nearest(p: Parameter, value: Any) -> Value:
    """As `decode_value`; a number between two steps becomes the nearer of them."""
    if isinstance(p, Categorical) or p.step is None:
        return decode_value(p, value)
    index = round((value - p.low) / p.step)
    return p.value(min(max(index, 0), int(p.size) - 1))


def to_distribution(p: Parameter, choices: Sequence[Value] | None = None) -> BaseDistribution:
    """Optuna's distribution of a parameter; of a categorical one over `choices`, or the indices."""
    from optuna import distributions

    match p:
        case Categorical():
            return distributions.CategoricalDistribution(choices or range(len(p.choices)))
        case Int():
            return distributions.IntDistribution(p.low, p.max_value, log=p.log, step=p.step)
        case Float():
            return distributions.FloatDistribution(p.low, p.max_value, log=p.log, step=p.step)
