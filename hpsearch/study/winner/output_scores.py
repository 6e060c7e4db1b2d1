"""Scores of parts of a prediction: each step of a forecast, and how often quantiles hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...data.columns import Target
from ...training.metrics import Metric


def compute_output_scores(
    metric: Metric,
    target: Target,
    truth: np.ndarray,
    prediction: np.ndarray,
    weights: np.ndarray | None = None,
) -> dict[str, float]:
    """Compute the metric of each step ahead, and the coverage of quantiles.

    Args:
        metric: The objective.
        target: The target, with the steps and quantiles of its outputs.
        truth: (n_rows, n_outputs).
        prediction: (n_rows, n_outputs).
        weights: (n_rows,).

    Returns:
        `<metric>_h<step>`, if there are several steps; of quantiles `below_q<level>`, the share of
        rows whose truth is not above the quantile, `coverage_q<low>_q<high>` between the outermost
        two, and `crossing`, the share of predictions whose quantiles are not in order.
    """
    steps = np.array([output.step for output in target.outputs])
    found = {}
    if len(np.unique(steps)) > 1:
        for step in np.unique(steps):
            part = steps == step
            name = f"{metric.name}_h{step}"
            found[name] = metric(truth[:, part], prediction[:, part], weights)
    return found | _compute_coverage(target, truth, prediction, weights)


def _compute_coverage(
    target: Target, truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    levels = sorted({output.quantile for output in target.outputs} - {0.0})
    if not levels:
        return {}

    def share(held: Any) -> float:
        return float(np.average(held.mean(axis=1), weights=weights))

    # The quantiles of an output are neighbours, in ascending order.
    true, guess = (a.reshape(len(a), -1, len(levels)) for a in (truth, prediction))
    below = true <= guess
    found = {f"below_q{q:g}": share(below[..., k]) for k, q in enumerate(levels)}
    if len(levels) > 1:
        inside = below[..., -1] & (guess[..., 0] <= true[..., 0])
        found[f"coverage_q{levels[0]:g}_q{levels[-1]:g}"] = share(inside)
        found["crossing"] = share((np.diff(guess, axis=-1) < 0).any(axis=-1))
    return found
