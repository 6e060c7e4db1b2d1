"""Data: sources, schema, cleaning, fingerprint, folds and the statistics of each fold."""

from typing import TYPE_CHECKING

from ..lazy_exports import export_lazily

if TYPE_CHECKING:
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
__getattr__ = export_lazily(
    __name__,
    {
        "columns": ["Column", "Target"],
        "dataset": ["Dataset", "LockedRows", "TestRows"],
        "loading": ["load"],
        "schema": ["Schema"],
        "split": ["Split"],
        "statistics": ["Statistics"],
    },
)
