"""Notice that a search repeats itself, and find the branch of the space that it neglects.

A proposal beside an earlier trial tells that the model expects little from anywhere else. It can be
wrong about a branch of a conditional space that it has seen a few times. So a share of these
proposals is given up for that branch; figures are in benchmarks/planted.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .axes import Array, OrderedAxis, UnorderedAxis
from .model_space import ModelSpace
from .study_model import StudyModel

_MAX_TRIES = 256  # random points before a feasibility constraint counts as unsatisfiable
SHARE = 0.5  # of the proposals beside an earlier trial, which are given up
_NEAR = 0.02  # of an axis
_MAX_VALUES = 12  # of a parent whose values are branches

Branch = tuple[int, float]  # a parameter, and one of its coordinates


def is_beside(space: ModelSpace, point: Array, trials: Array) -> bool:
    """Whether `point` is within 0.02 of a trial on every axis, in the same branch.

    Args:
        space: The space.
        point: Shape (n_parameters,).
        trials: The points of the trials, shape (n, n_parameters).
    """
    active = space.active(point[None, :])[0]
    same = (space.active(trials) == active).all(axis=1)
    distances = np.abs(trials - point)
    choices = np.array([axis.choices > 0 for axis in space.axes])
    distances[:, choices] = distances[:, choices] > 0
    return bool((same & (distances[:, active] < _NEAR).all(axis=1)).any())


def find_rarest_branch(space: ModelSpace, trials: Array) -> Branch | None:
    """Find the branch with the fewest trials.

    A branch is a value of a parameter that decides whether others are active; None if no such
    parameter has at most 12 values.

    Args:
        space: The space.
        trials: The points of the trials, shape (n, n_parameters).
    """
    active = space.active(trials)

    def count(branch: Branch) -> int:
        column, coordinate = branch
        return int((active[:, column] & (trials[:, column] == coordinate)).sum())

    return min(_list_branches(space), key=count, default=None)


def _list_branches(space: ModelSpace) -> list[Branch]:
    found: list[Branch] = []
    for column in space.parents:
        axis = space.axes[column]
        if axis.size > _MAX_VALUES:
            continue
        if isinstance(axis, UnorderedAxis):
            found += [(column, float(choice)) for choice in range(axis.choices)]
        elif isinstance(axis, OrderedAxis):
            found += [(column, float(position)) for position in axis.positions]
    return found


def is_in_branch(space: ModelSpace, point: Array, branch: Branch) -> bool:
    """Whether `point`, shape (n_parameters,), is in a branch."""
    column, coordinate = branch
    return bool(point[column] == coordinate and space.active(point[None, :])[0, column])


def propose_beyond_repeats(
    model: StudyModel,
    ended: Sequence[Array],
    pending: Sequence[Array],
    allowed: Callable[[Array], bool],
    rng: np.random.Generator,
    trust: float,
) -> Array | None:
    """Propose the point with the largest expected improvement.

    Half of those beside an earlier trial are given up for points of the branch with the fewest
    trials: random ones, or the one with the largest expected improvement there.

    Args:
        model: The model of the trials.
        ended: Points of the trials that have ended, shape (n_parameters,) each.
        pending: Those of the running ones.
        allowed: Whether one point may be proposed.
        rng: The source of all random draws.
        trust: See `StudyModel.propose_by_improvement`.
    """
    space = model.space
    waiting = np.array(pending).reshape(-1, len(space))
    point = model.propose_by_improvement(waiting, allowed, rng, trust=trust)
    if point is None or not space.parents:
        return point
    trials = np.concatenate([np.array(ended), waiting])
    if not is_beside(space, point, trials):
        return point
    branch = find_rarest_branch(space, trials)
    if branch is None or rng.random() >= SHARE:
        return point

    def inside(point: Array) -> bool:
        return is_in_branch(space, point, branch) and allowed(point)

    if rng.random() < SHARE:
        return draw_allowed(space, inside, rng)
    return model.propose_by_improvement(waiting, inside, rng, trust=trust)


def draw_allowed(
    space: ModelSpace, allowed: Callable[[Array], bool], rng: np.random.Generator
) -> Array | None:
    """Draw a random point that is allowed; None if none of 256 is."""
    drawn = space.draw(rng.random((_MAX_TRIES, len(space))))
    return next((point for point in drawn if allowed(point)), None)
