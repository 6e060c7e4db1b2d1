"""Beliefs about good values of hyperparameters: the keys `prior` of a search space.

A number's prior is a bell curve around the value, on the parameter's scale, mixed with a uniform
distribution, so that no value is excluded. `search/gp/axis_priors.py` has the same for its
coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from ..trial import Value
from .search_space import Categorical, Float, Int, Parameter, SearchSpace

SPREAD = 0.2  # standard deviation of a number, as a share of its range
UNIFORM_SHARE = 0.1  # share of the uniform distribution
MAX_DRAWS = 1000  # points drawn before the constraints count as unsatisfiable


def has_priors(space: SearchSpace) -> bool:
    """Whether a parameter of the space has a prior."""
    return any(p.prior is not None for p in space)


def get_choice_weights(p: Categorical) -> tuple[float, ...]:
    """Return the probability of each choice; an expected one gets half on top of its share."""
    n = len(p.choices)
    weights: Sequence[float] = [1.0] * n
    if isinstance(p.prior, tuple | list):
        weights = p.prior
    elif p.prior is not None:
        weights = [1.0 + n * (i == p.index(p.prior)) for i in range(n)]
    largest = max(weights)
    shares = [w / largest for w in weights]  # their sum is finite
    total = sum(shares)
    return tuple((1 - UNIFORM_SHARE) * share / total + UNIFORM_SHARE / n for share in shares)


def find_prior_mode(space: SearchSpace, rng: Random) -> dict[str, Value] | None:
    """Return the point that is expected to be best; parameters without a prior are drawn.

    Returns:
        The point; None if it breaks a constraint whatever the drawn values are.
    """
    return _draw_feasible(space, lambda p: _find_mode(p, rng))


def draw_from_prior(space: SearchSpace, rng: Random) -> dict[str, Value] | None:
    """Draw a point from the priors; None if none of many satisfies the constraints."""
    return _draw_feasible(space, lambda p: _draw_value(p, rng))


def _draw_feasible(
    space: SearchSpace, draw: Callable[[Parameter], Value]
) -> dict[str, Value] | None:
    for _ in range(MAX_DRAWS if space.constraints else 1):
        params: dict[str, Value] = {}
        for p in space:
            if p.name not in params and space.is_active(p, params):
                params[p.name] = draw(p)
        if space.find_broken_constraint(params) is None:
            return params
    return None


def _find_mode(p: Parameter, rng: Random) -> Value:
    if p.prior is None:
        return p.draw(rng)
    if isinstance(p, Categorical):
        weights = get_choice_weights(p)
        return p.choices[weights.index(max(weights))]
    return float(p.prior) if p.step is None else _value_at(p, _position_of(p, p.prior))


def _draw_value(p: Parameter, rng: Random) -> Value:
    if p.prior is None:
        return p.draw(rng)
    if isinstance(p, Categorical):
        return rng.choices(p.choices, get_choice_weights(p))[0]
    if rng.random() < UNIFORM_SHARE:
        return p.draw(rng)
    middle, position = _position_of(p, p.prior), -1.0
    while not 0 <= position <= 1:
        position = rng.gauss(middle, SPREAD)
    return _value_at(p, position)


def _position_of(p: Float | Int, value: float) -> float:
    """Return the position of a value on the parameter's scale, from 0 to 1."""
    if p.low == p.high:
        return 0.0
    scale = math.log if p.log else float
    return (scale(value) - scale(p.low)) / (scale(p.high) - scale(p.low))


def _value_at(p: Float | Int, position: float) -> Value:
    """Return the value nearest to a position."""
    scale = math.log if p.log else float
    value = scale(p.low) + position * (scale(p.high) - scale(p.low))
    value = min(max(math.exp(value) if p.log else value, p.low), p.high)
    if p.step is None:
        return value
    return p.value(min(round((value - p.low) / p.step), int(p.size) - 1))
