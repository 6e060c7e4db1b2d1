"""Order points with several objectives: front by front, and well spread within a front."""

from __future__ import annotations

import numpy as np


def order_by_fronts(costs: np.ndarray) -> list[int]:
    """Return the indices of points, best first; smaller values are better.

    The Pareto front comes first, then the front of the others, and so on. Within a front, the best
    in the first objective is followed by the point that is farthest from those before it, and so
    on (an epsilon net; Schmucker et al., "Multi-objective asynchronous successive halving", 2021).
    Distances are between ranks, so that the scale of an objective does not matter. Of ties, the
    earlier first.

    Args:
        costs: The points, shape (n_points, n_objectives).

    Examples:
        >>> order_by_fronts(np.array([[1, 9], [2, 5], [9, 1], [9, 9]]))
        [0, 2, 1, 3]
    """
    left = np.arange(len(costs))
    order: list[int] = []
    while len(left):
        part = costs[left]
        one, other = part[:, None, :], part[None, :, :]
        dominated = ((one <= other).all(-1) & (one < other).any(-1)).any(0)
        order += _spread_front(costs, left[~dominated])
        left = left[dominated]
    return order


def _spread_front(costs: np.ndarray, front: np.ndarray) -> list[int]:
    """Order a front so that each point is far from those before it."""
    ranks = np.column_stack(
        [np.unique(column, return_inverse=True)[1] for column in costs[front].T]
    ).astype(float)
    ranks /= np.maximum(ranks.max(axis=0), 1.0)
    order = [int(np.lexsort((ranks.sum(axis=1), ranks[:, 0]))[0])]
    nearest = np.full(len(front), np.inf)
    while len(order) < len(front):
        nearest = np.minimum(nearest, np.linalg.norm(ranks - ranks[order[-1]], axis=1))
        nearest[order] = -1.0
        order.append(int(np.argmax(nearest)))
    return [int(front[index]) for index in order]
