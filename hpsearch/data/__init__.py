"""Data: sources, schema, cleaning, fingerprint, folds and the statistics of each fold."""

from .columns import Column, Target
from .dataset import Dataset, LockedRows, TestRows
from .loading import load
from .schema import Schema
from .split import Split
from .statistics import Statistics

__all__ = [
    "Column",
    "Dataset",
    "LockedRows",
    "Schema",
    "Split",
    "Statistics",
    "Target",
    "TestRows",
    "load",
]
