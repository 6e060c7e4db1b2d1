"""A whole study, connected: data, search, final fit, locked rows, MLflow."""

from .result import BestTrial, StudyResult, StudyStopped
from .tune import read_spec, tune

__all__ = ["BestTrial", "StudyResult", "StudyStopped", "read_spec", "tune"]
