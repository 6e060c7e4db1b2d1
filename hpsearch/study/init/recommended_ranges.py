"""Recommended search ranges for a dense network, by the size of the data.

Wide enough for common data sets, narrow enough for tens of trials. benchmarks/tables.md measured
the families, and embeddings, units, dropout and weight decay of the `mlp`; the rest are rules of
thumb. docs/search_space.md shows the same table.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RecommendedRanges:
    """The recommendations that `hpsearch init` writes for a table."""

    batch_size: tuple[int, ...]  # rows a step
    units: tuple[int, int]  # of each layer
    layers: tuple[int, int]
    l2: tuple[float, float]
    epochs: int  # at most
    patience: int  # epochs
    folds: int
    repeats: int  # of the division into folds
    test_fraction: float  # of the rows
    minutes: int  # of search
    has_normalization: bool  # whether batches are large enough for batch normalization


TABM_SMALL_BATCHES = 2_000  # development rows below which TabM's published batches are too large
# With more, a trial of TabM takes minutes on two cores.
TABM_ROWS = 20_000
TABM_NUMBERS = 500_000  # rows times features
# Maximum rows: batch sizes, maximum units, maximum layers, epochs, patience, folds, repeats,
# test fraction, minutes.
_BY_ROWS = (
    (500, (8, 16, 32), 128, 2, 200, 16, 5, 3, 0.2, 10),
    (5_000, (16, 32, 64), 256, 3, 200, 16, 5, 1, 0.2, 20),
    (50_000, (64, 128, 256), 256, 3, 100, 16, 5, 1, 0.2, 30),
    (500_000, (256, 512, 1024), 512, 4, 60, 16, 3, 1, 0.1, 60),
    (None, (512, 1024, 2048), 512, 4, 40, 16, 3, 1, 0.1, 120),
)
MIN_VOCABULARY, MAX_VOCABULARY = 256, 20_000  # rows of the embedding of a text
NARROW_FEATURES = 64  # features up to which small layers are tried


def recommend_family(rows: int, features: int) -> str:
    """Return the family of networks for a table of numbers and categories.

    A small TabM was the best on most sets of benchmarks/tables.md, but is too slow for many rows,
    and for thousands of features, each of which it embeds.
    """
    return "tabm" if rows < TABM_ROWS and rows * features < TABM_NUMBERS else "mlp"


def recommend_ranges(rows: int, features: int) -> RecommendedRanges:
    """Return the recommended ranges.

    Args:
        rows: Rows of the whole table.
        features: Inputs of the network, after one-hot encoding.
    """
    by_rows = next(r for r in _BY_ROWS if r[0] is None or rows < r[0])
    _, batch_size, units, layers, epochs, patience, folds, repeats, test_fraction, minutes = by_rows
    return RecommendedRanges(
        batch_size=batch_size,
        units=(8 if features <= NARROW_FEATURES else 32, units),
        layers=(1, layers),
        l2=(1e-6, 1e-1 if rows < 500 else 1e-2),
        epochs=epochs,
        patience=patience,
        folds=folds,
        repeats=repeats,
        test_fraction=test_fraction,
        minutes=minutes,
        has_normalization=rows >= 5_000,
    )


def recommend_vocabulary(ngrams: int) -> int:
    """Return the rows of an embedding in which few of the n-grams share a row by hashing.

    A larger table would only make each step of a small text set slower.
    """
    return min(MAX_VOCABULARY, max(MIN_VOCABULARY, 1 << (2 * ngrams - 1).bit_length()))
