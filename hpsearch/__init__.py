"""Hyperparameter search with cross-validation for Keras, every run in MLflow.

import hpsearch

result = hpsearch.tune("search_spaces/breast_cancer.yaml")
result.best.params, result.test
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .study.in_use import list_models, promote, rollback
    from .study.maintenance.plan import Plan, plan
    from .study.nested_cv import NestedResult, nested
    from .study.result import BestTrial, StudyResult
    from .study.study_reader import LoadedStudy, load
    from .study.tune import tune

__all__ = [
    "BestTrial",
    "LoadedStudy",
    "NestedResult",
    "Plan",
    "StudyResult",
    "list_models",
    "load",
    "nested",
    "plan",
    "promote",
    "rollback",
    "tune",
]


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: `hpsearch --help` needs none."""
    if name in __all__:
        from . import study

        return getattr(study, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
