"""The lanes of a tile: first folds, then the trials of each."""

from __future__ import annotations

from typing import Any

from .device_data import DeviceFold
from .program import Lane
from .template import TrialNumbers

# The axes over which `make_lanes` maps: first folds, then the trials of each.
BY_FOLD: Any = Lane._make((None, None, 0, 0, 0, None, None))
BY_TRIAL: Any = Lane._make((0, 0, 0, None, 0, 0, 0))


def make_lanes(numbers: TrialNumbers, folds: DeviceFold) -> Lane:
    """Make the lanes of a tile; see `BY_FOLD` and `BY_TRIAL`."""
    return Lane(
        numbers.strengths,
        numbers.arguments,
        numbers.dropout_seeds,
        folds,
        numbers.classes,
        numbers.depth,
        numbers.factors,
    )
