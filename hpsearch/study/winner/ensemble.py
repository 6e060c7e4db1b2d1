"""Greedy ensemble selection over the out-of-fold predictions of a study's trials.

Caruana, Niculescu-Mizil, Crew & Ksikes 2004, "Ensemble selection from libraries of models", ICML:
starting from the best single trial, repeatedly add the trial that improves the averaged predictions
most, with replacement; a trial's weight is the number of times it was added.

What is improved is the squared error of standardized numbers, or of probabilities (Brier's score).
It needs only the products of the trials' errors. The selection is repeated without each block of
rows, as in bagging: the weights are the mean, and a row's prediction has the weights that were
chosen without its block. So is the single trial that it is compared with: the score of the best of
many trials is optimistic on the rows by which it was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...training.metrics import Metric
from ...training.problem import Problem
from ...trial import orient

POOL = 10  # candidates, the best trials; more overfit small tables
PICKS = 25  # picks with replacement
LEAST_WEIGHT = 0.5 / PICKS  # of a member in the mean over the blocks
MAX_CHUNK = 2**22  # errors in memory at a time


@dataclass(frozen=True, slots=True)
class Ensemble:
    """An average of trials."""

    weights: Mapping[int, float]  # by trial, the first one first; they add up to 1
    prediction: np.ndarray  # out of fold, (n_rows, n_outputs), by weights of other rows
    single: np.ndarray  # likewise, of the best single trial by other rows


def select_ensemble(
    predictions: Mapping[int, np.ndarray],
    problem: Problem,
    metric: Metric,
    first: int,
    *,
    costs: Mapping[int, float],
    limit: float,
    max_members: int = PICKS,
) -> Ensemble | None:
    """Select an ensemble; None if the rows allow none, or nothing improves the first trial.

    Args:
        predictions: Out-of-fold predictions by trial, (n_rows, n_outputs); NaN: never validated.
        problem: The problem, with folds and targets.
        metric: Chooses the best single trial of other rows.
        first: The best single trial, always a member.
        costs: Cost by trial of another member.
        limit: Maximum sum of the other members' costs.
        max_members: Maximum number of trials.
    """
    numbers = [first, *(n for n in predictions if n != first)]
    blocks = find_row_blocks(problem)
    if len(blocks) < 2 or max_members < 2:
        return None
    tables = [predictions[n] for n in numbers]
    products = [compute_error_products(tables, problem, rows) for rows in blocks]
    if not np.isfinite(products).all():
        return None
    extra = np.array([0.0, *(costs[n] for n in numbers[1:])])
    starts = _choose_best(problem, metric, tables, blocks)
    total, each = np.sum(products, axis=0), []
    answer, single = np.full((2, *tables[0].shape), np.nan)
    for index, (rows, start) in enumerate(zip(blocks, starts, strict=True)):
        its = pick_members(total - products[index], extra, limit, max_members, start)
        answer[rows] = sum(its[m] * tables[m][rows].astype(float) for m in np.flatnonzero(its))
        single[rows] = tables[start][rows]
        each.append(its)
    weights = _keep_heaviest(np.mean(each, axis=0), extra, limit, max_members)
    if np.count_nonzero(weights) < 2:
        return None
    kept = {n: float(w) for n, w in zip(numbers, weights, strict=True) if w}
    return Ensemble(kept, answer, single)


def _choose_best(
    problem: Problem, metric: Metric, tables: Sequence[np.ndarray], blocks: Sequence[np.ndarray]
) -> list[int]:
    """Return the index of the best table by all blocks but one, for each block."""
    scores = np.array([[_score(problem, metric, t, rows) for rows in blocks] for t in tables])
    others = [np.delete(scores, index, axis=1).mean(axis=1) for index in range(len(blocks))]
    return [
        int(np.argmax(np.nan_to_num(orient(mean, metric.direction), nan=-np.inf)))
        for mean in others
    ]


def find_row_blocks(problem: Problem) -> list[np.ndarray]:
    """Return disjoint sets of validated rows: folds, and the rest of rows validated repeatedly."""
    left = np.zeros(len(problem.target), bool)
    for fold in problem.folds:
        left[fold.validation] = True
    blocks = []
    for fold in problem.folds:
        if left[fold.validation].all():
            blocks.append(fold.validation)
            left[fold.validation] = False
    return [*blocks, *([np.flatnonzero(left)] if left.any() else [])]


def compute_error_products(
    tables: Sequence[np.ndarray], problem: Problem, rows: np.ndarray
) -> np.ndarray:
    """Compute the mean products of the errors of each two predictions, (n_tables, n_tables)."""
    scale = np.ones(problem.n_outputs)
    if problem.task == "regression":
        spread = problem.target.astype(np.float64).std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
    weights = np.ones(len(rows)) if problem.weights is None else problem.weights[rows]
    size = max(1, MAX_CHUNK // (len(tables) * problem.n_outputs))
    total = np.zeros((len(tables), len(tables)))
    for start in range(0, len(rows), size):
        at = rows[start : start + size]
        root = np.sqrt(weights[start : start + size, None].astype(np.float64))
        truth = problem.target[at].astype(np.float64)
        errors = np.stack([((table[at] - truth) / scale * root).ravel() for table in tables])
        total += errors @ errors.T
    return total / max(float(weights.sum()), np.finfo(float).tiny)


def pick_members(
    products: np.ndarray,
    costs: np.ndarray,
    limit: float,
    max_members: int = PICKS,
    start: int = 0,
) -> np.ndarray:
    """Pick members greedily; return their weights, (n,).

    Args:
        products: Mean products of errors, (n, n).
        costs: Of each member, (n,); the one to start from has none.
        limit: Maximum sum of the members' costs.
        max_members: Maximum number of members.
        start: The member to start from.
    """
    counts = np.zeros(len(products), int)
    counts[start] = 1
    error, shared, spent = products[start, start], products[start].copy(), 0.0
    best, kept = error, counts.copy()
    for size in range(2, PICKS + 1):
        errors = error + 2 * shared + np.diagonal(products)  # of the sum with each added
        is_full = np.count_nonzero(counts) == max_members
        errors[(counts == 0) & (is_full | (spent + costs > limit))] = np.inf
        chosen = int(np.argmin(errors))
        spent += costs[chosen] if counts[chosen] == 0 else 0.0
        error, shared = errors[chosen], shared + products[chosen]
        counts[chosen] += 1
        if error / size**2 < best:
            best, kept = error / size**2, counts.copy()
    return np.asarray(kept / kept.sum())


def _keep_heaviest(
    weights: np.ndarray, costs: np.ndarray, limit: float, max_members: int
) -> np.ndarray:
    """Drop light members, and those beyond a limit; keep the first. The rest adds up to 1."""
    kept = np.zeros_like(weights)
    kept[0], spent = max(weights[0], LEAST_WEIGHT), 0.0
    for index in 1 + np.argsort(-weights[1:], kind="stable"):
        is_full = np.count_nonzero(kept) == max_members
        if weights[index] >= LEAST_WEIGHT and spent + costs[index] <= limit and not is_full:
            kept[index], spent = weights[index], spent + costs[index]
    return np.asarray(kept / kept.sum())


def compare_fold_scores(
    problem: Problem,
    metric: Metric,
    prediction: np.ndarray,
    other: np.ndarray,
    *,
    thresholds: tuple[float, float] = (0.5, 0.5),
) -> tuple[float, float, float, float]:
    """Compare predictions on the same folds.

    Args:
        problem: With target, folds and weights.
        metric: Of the comparison.
        prediction: Out of fold, (n_rows, n_outputs).
        other: The same.
        thresholds: The decision threshold of each.

    Returns:
        The mean scores of `prediction` and of `other`, the mean advantage of `prediction`
        (positive: better), and its standard error.
    """
    ours, theirs = (
        np.array([_score(problem, metric, table, f.validation, limit) for f in problem.folds])
        for table, limit in zip((prediction, other), thresholds, strict=True)
    )
    gains = orient(ours - theirs, metric.direction)
    error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    return float(ours.mean()), float(theirs.mean()), float(gains.mean()), error


def _score(
    problem: Problem,
    metric: Metric,
    prediction: np.ndarray,
    rows: np.ndarray,
    threshold: float = 0.5,
) -> float:
    weights = None if problem.weights is None else problem.weights[rows]
    return metric(problem.target[rows], prediction[rows], weights, threshold=threshold)
