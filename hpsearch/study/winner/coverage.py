"""Coverage of the locked rows by the winner's intervals, or sets of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...data.columns import Target
from ...data.prediction_intervals import bound_of_level, compute_intervals, compute_sets
from ...events import IntervalCoverage, OutputCoverage
from .calibration import both_classes, class_indices

COVERED = 0.9  # the level


def compute_coverage(
    target: Target | None, truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None
) -> IntervalCoverage | None:
    """Compute the coverage of the locked rows; None without bounds of the level.

    Args:
        target: The target, with its bounds.
        truth: (n_rows, n_outputs).
        prediction: (n_rows, n_outputs).
        weights: (n_rows,).
    """
    if target is None or all(level != COVERED for level, *_ in target.bounds):
        return None
    bound = bound_of_level(target.bounds, COVERED)
    if target.kind == "regression":
        return _cover_outputs(target, bound, truth, prediction, weights)
    members = compute_sets(both_classes(prediction), bound)
    share = np.average(members[np.arange(len(truth)), class_indices(truth)], weights=weights)
    size = np.average(members.sum(axis=1), weights=weights)
    return IntervalCoverage(COVERED, float(share), float(size))


def _cover_outputs(
    target: Target,
    bound: Sequence[float],
    truth: np.ndarray,
    prediction: np.ndarray,
    weights: np.ndarray | None,
) -> IntervalCoverage:
    outputs = []
    for k, output in enumerate(target.outputs):
        low, high = compute_intervals(prediction[:, k], bound, output.transform, k)
        held = (low <= truth[:, k]) & (truth[:, k] <= high)
        share, size = (float(np.average(v, weights=weights)) for v in (held, high - low))
        outputs.append(OutputCoverage(output.name, share, size))
    share, size = (float(np.mean([getattr(o, n) for o in outputs])) for n in ("share", "size"))
    return IntervalCoverage(COVERED, share, size, tuple(outputs) if len(outputs) > 1 else ())
