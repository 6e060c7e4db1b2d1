"""Distances between points of a conditional space, and the Matérn-5/2 kernel over them.

Each parameter adds its own squared distance, times a weight that is learned:

* active in both points: the squared difference of its coordinates (0 or 1 for unordered choices);
* active in neither: 0;
* active in one: a constant, whatever its value.

This is a distance in a Euclidean space (Hutter and Osborne, "A kernel for hierarchical parameter
spaces", 2013): a conditional number lies on an arc and its absence is the centre of the circle; an
unordered choice is a corner of a simplex and its absence the centre. Any kernel of the distance is
therefore positive definite, and a point is a row of features. One more feature per condition lets
the constant grow, and one tells how far a trial was trained, if some were trained only in part.
"""

from __future__ import annotations

import math

import numpy as np

from .axes import Array
from .model_space import ModelSpace

_ROOT5 = math.sqrt(5.0)


class Features:
    """Maps points to rows of features whose weighted squared distance the kernel uses."""

    def __init__(self, space: ModelSpace, *, has_progress: bool = False) -> None:
        self.space = space
        self.has_progress = has_progress  # the last feature is the progress of the training
        self.starts: list[int] = []  # each parameter's first feature
        owners: list[int] = []
        for j, axis in enumerate(space.axes):
            self.starts.append(len(owners))
            owners.extend([j] * (axis.choices or (1 if space.groups[j] < 0 else 2)))
        groups = range(max(space.groups, default=-1) + 1)
        self.members = [space.groups.index(g) for g in groups]  # one parameter per condition
        owners.extend(len(space) + g for g in groups)
        if has_progress:
            owners.append(len(space) + len(groups))
        self.owners = np.array(owners, int)  # the weight of each feature, shape (n_features,)

    def __call__(self, points: Array, active: Array, progress: Array | float = 0.0) -> Array:
        """Compute the features of points.

        Args:
            points: Coordinates, shape (n_points, n_parameters).
            active: Which parameters are active, the same shape.
            progress: Of the training at each point, shape (n_points,); see
                `observations.Observation`.

        Returns:
            Shape (n_points, n_features).
        """
        rows = np.zeros((len(points), len(self.owners)))
        for j, axis in enumerate(self.space.axes):
            start = self.starts[j]
            x, here = points[:, j], active[:, j]
            if axis.choices:
                corners = x[:, None] == np.arange(axis.choices)
                rows[:, start : start + axis.choices] = math.sqrt(0.5) * np.where(
                    here[:, None], corners, 1.0 / axis.choices
                )
            elif self.space.groups[j] < 0:
                rows[:, start] = x
            else:
                rows[:, start] = np.where(here, 0.5 * np.cos(2 * x), 0.0)
                rows[:, start + 1] = np.where(here, 0.5 * np.sin(2 * x), 0.0)
        if self.members:
            end = rows.shape[1] - self.has_progress
            rows[:, end - len(self.members) : end] = active[:, self.members]
        if self.has_progress:
            rows[:, -1] = progress
        return rows

    def pull_back(self, points: Array, active: Array, slopes: Array) -> Array:
        """Convert derivatives along features to derivatives along coordinates.

        Args:
            points: Coordinates, shape (n_points, n_parameters).
            active: Which parameters are active, the same shape.
            slopes: Derivatives along the features, shape (n_points, n_features).

        Returns:
            Derivatives along the coordinates, shape (n_points, n_parameters); 0 along unordered
            choices.
        """
        out = np.zeros(points.shape)
        for j, axis in enumerate(self.space.axes):
            start = self.starts[j]
            if axis.choices:
                continue
            if self.space.groups[j] < 0:
                out[:, j] = slopes[:, start]
            else:
                x = 2 * points[:, j]
                turned = np.cos(x) * slopes[:, start + 1] - np.sin(x) * slopes[:, start]
                out[:, j] = np.where(active[:, j], turned, 0.0)
        return out


def squared_distances(a: Array, b: Array) -> Array:
    """Compute squared distances of rows of `a` (n, f) and `b` (m, f); (n, m), not negative."""
    squares = np.einsum("ij,ij->i", a, a)[:, None] + np.einsum("ij,ij->i", b, b)
    squares -= 2 * (a @ b.T)
    return np.asarray(np.maximum(squares, 0.0, out=squares))


def matern52(squares: Array) -> tuple[Array, Array]:
    """Compute the Matérn-5/2 kernel of squared distances, and its derivative."""
    r = _ROOT5 * np.sqrt(squares)
    decay = np.exp(-r)
    slope = (-5.0 / 6.0) * (1.0 + r) * decay
    return (1.0 + r + r * r / 3.0) * decay, slope


def matern52_values(squares: Array) -> Array:
    """Compute only the kernel, in place in `squares`, to save memory for many points."""
    r = np.sqrt(squares, out=squares)
    r *= _ROOT5
    decay = np.exp(-r)
    r *= 1.0 + r / 3.0
    r += 1.0
    return np.multiply(r, decay, out=r)
