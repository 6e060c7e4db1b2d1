"""Encode hyperparameters for Optuna and Keras Tuner.

Both treat 1, 1.0 and True as the same choice, so a choice is encoded as its index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .spec.search_space import Categorical, Float, Int, Parameter
from .trial import Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

OPTUNA_STATES = {"COMPLETE": "COMPLETE", "PRUNED": "PRUNED", "FAILED": "FAIL"}  # others: running


def encode_value(p: Parameter, value: Value) -> Value:
    """Encode a choice as its index; numbers are unchanged."""
    return p.index(value) if isinstance(p, Categorical) else value


def decode_value(p: Parameter, value: Any) -> Value:
    """Decode a value of `encode_value` to Python types, clipped to the bounds."""
    match p:
        case Categorical():
            return p.choices[int(value)]
        case Int():
            return int(value)
        case Float():
            return min(max(float(value), p.low), p.max_value)


def decode_nearest(p: Parameter, value: Any) -> Value:
    """Decode a value as `decode_value` does, rounding numbers to the nearest step."""
    if isinstance(p, Categorical) or p.step is None:
        return decode_value(p, value)
    index = round((value - p.low) / p.step)
    return p.value(min(max(index, 0), int(p.size) - 1))


def to_distribution(p: Parameter, choices: Sequence[Value] | None = None) -> BaseDistribution:
    """Return Optuna's distribution of a parameter; a categorical's is over `choices` or indices."""
    from optuna import distributions

    match p:
        case Categorical():
            return distributions.CategoricalDistribution(choices or range(len(p.choices)))
        case Int():
            return distributions.IntDistribution(p.low, p.max_value, log=p.log, step=p.step)
        case Float():
            return distributions.FloatDistribution(p.low, p.max_value, log=p.log, step=p.step)
