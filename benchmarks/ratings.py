"""Ratings of models by their errors on many sets: ranks, wins, improvability and Elo.

As on TabArena (Erickson et al. 2025): a set counts once, whatever its number of splits. Elo is that
of the Bradley-Terry model, 1000 on average; its interval is a bootstrap over the sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

BOOTSTRAPS = 200
ROUNDS = 500  # of the fit of Bradley-Terry's strengths


def show_ratings(errors: Mapping[str, Mapping[str, float]]) -> None:
    """Print a line for each model.

    Args:
        errors: set -> model -> error, the smaller the better. Only models of every set count.
    """
    names = [m for m in next(iter(errors.values())) if all(m in row for row in errors.values())]
    if len(errors) < 2 or len(names) < 2:
        return
    table = np.array([[row[name] for name in names] for row in errors.values()])
    ranks = (table[:, :, None] > table[:, None, :]).sum(axis=2) + 1
    improvable = 100 * (1 - table.min(axis=1, keepdims=True) / np.maximum(table, 1e-12))
    wins, ratings = win_shares(table), elo(table)
    rng = np.random.default_rng(0)
    drawn = np.array(
        [elo(table[rng.integers(0, len(table), len(table))]) for _ in range(BOOTSTRAPS)]
    )
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    print(f"\n| {len(table)} sets | mean rank | improvable by | Elo (95%) | wins against each |")
    print("|---|---|---|---|---|")
    for i, name in enumerate(names):
        against = [f"{others} {wins[i, j]:.0%}" for j, others in enumerate(names) if j != i]
        print(
            f"| {name} | {ranks[:, i].mean():.2f} | {improvable[:, i].mean():.1f}% "
            f"| {ratings[i]:.0f} ({low[i]:.0f} to {high[i]:.0f}) | {', '.join(against)} |"
        )


def win_shares(table: np.ndarray) -> np.ndarray:
    """Compute the share of sets on which model i beats model j; a tie is half a win.

    Examples:
        >>> win_shares(np.array([[1.0, 2.0], [3.0, 3.0]]))[0, 1]
        0.75
    """
    better = (table[:, :, None] < table[:, None, :]) + 0.5 * (table[:, :, None] == table[:, None])
    shares: np.ndarray = better.mean(axis=0)
    return shares


def elo(table: np.ndarray) -> Sequence[float]:
    """Compute the ratings, (n_models,); one win and one loss are added, so all are finite."""
    wins = win_shares(table) * len(table) + 1.0
    np.fill_diagonal(wins, 0)
    games, strength = wins + wins.T, np.ones(len(wins))
    for _ in range(ROUNDS):
        pairs = games / (strength[:, None] + strength[None, :])
        strength = wins.sum(axis=1) / pairs.sum(axis=1)
        strength /= np.exp(np.log(strength).mean())
    ratings: Sequence[float] = 1000 + 400 * np.log10(strength)
    return ratings
