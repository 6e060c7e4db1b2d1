"""Run a whole study: data, search, final fit, locked rows, MLflow."""

from .check import StudyCheck, check
from .in_use import list_models, promote, rollback
from .maintenance.plan import Plan, plan
from .nested_cv import NestedResult, nested
from .result import BestTrial, StudyResult, StudyStopped
from .study_reader import LoadedStudy, load
from .tune import read_spec, tune

__all__ = [
    "BestTrial",
    "LoadedStudy",
    "NestedResult",
    "Plan",
    "StudyCheck",
    "StudyResult",
    "StudyStopped",
    "check",
    "list_models",
    "load",
    "nested",
    "plan",
    "promote",
    "read_spec",
    "rollback",
    "tune",
]
