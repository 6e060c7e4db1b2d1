"""Run a whole study: data, search, final fit, locked rows, MLflow."""

from .nested_cv import NestedResult, nested
from .result import BestTrial, StudyResult, StudyStopped
from .study_reader import LoadedStudy, load
from .tune import read_spec, tune

__all__ = [
    "BestTrial",
    "LoadedStudy",
    "NestedResult",
    "StudyResult",
    "StudyStopped",
    "load",
    "nested",
    "read_spec",
    "tune",
]
