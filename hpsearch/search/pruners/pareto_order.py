"""Order points with several objectives: front by front, and well spread within a front."""

from __future__ import annotations

import numpy as np


def order_by_fronts(costs: np.ndarray, n_taken: int = 0) -> list[int]:
    """Return the indices of points, best first; smaller values are better.

    The Pareto front comes first, then the front of the others, and so on. Within a front, a point
    is followed by the one that is farthest from those before it, and so on (an epsilon net;
    Schmucker et al., "Multi-objective asynchronous successive halving", 2021). The first is the
    one farthest from the points of the front that are taken, or, without any, the best in the first
    objective. Distances are between ranks, so that the scale of an objective does not matter. Of
    ties, the earlier first.

    Args:
        costs: The points, shape (n_points, n_objectives).
        n_taken: Number of points at the start that have been chosen before: they dominate others,
            but are not returned.

    Examples:
        >>> order_by_fronts(np.array([[1, 9], [2, 5], [9, 1], [9, 9]]))
        [0, 2, 1, 3]
        >>> order_by_fronts(np.array([[1, 9], [2, 5], [9, 1], [9, 9]]), n_taken=1)
        [2, 1, 3]
    """
    left = np.arange(len(costs))
    order: list[int] = []
    while len(left):
        part = costs[left]
        one, other = part[:, None, :], part[None, :, :]
        dominated = ((one <= other).all(-1) & (one < other).any(-1)).any(0)
        order += _spread_front(costs, left[~dominated], n_taken)
        left = left[dominated]
    return order


def _spread_front(costs: np.ndarray, front: np.ndarray, n_taken: int) -> list[int]:
    """Order a front so that each point is far from those before it, and from those taken."""
    ranks = np.column_stack(
        [np.unique(column, return_inverse=True)[1] for column in costs[front].T]
    ).astype(float)
    ranks /= np.maximum(ranks.max(axis=0), 1.0)
    nearest = np.full(len(front), np.inf)
    before, order = np.flatnonzero(front < n_taken).tolist(), list[int]()
    for index in before:
        nearest = _approach(nearest, ranks, index)
    while len(before) + len(order) < len(front):
        if before or order:
            order.append(int(np.argmax(nearest)))
        else:
            order.append(int(np.lexsort((ranks.sum(axis=1), ranks[:, 0]))[0]))
        nearest = _approach(nearest, ranks, order[-1])
    return [int(front[index]) for index in order]


def _approach(nearest: np.ndarray, ranks: np.ndarray, index: int) -> np.ndarray:
    """Return the distances to the nearest chosen point with one more; -1 for chosen points."""
    nearest = np.minimum(nearest, np.linalg.norm(ranks - ranks[index], axis=1))
    nearest[index] = -1.0
    return nearest
