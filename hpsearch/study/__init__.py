"""Run a whole study: data, search, final fit, locked rows, MLflow."""

from .nested_cv import NestedResult, nested
from .result import BestTrial, StudyResult, StudyStopped
from .tune import read_spec, tune

__all__ = [
    "BestTrial",
    "NestedResult",
    "StudyResult",
    "StudyStopped",
    "nested",
    "read_spec",
    "tune",
]
