"""Hyperparameter search with cross-validation for Keras, every run in MLflow.

import hpsearch

result = hpsearch.tune("search_spaces/breast_cancer.yaml")
result.best.params, result.test
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .lazy_exports import export_lazily

if TYPE_CHECKING:
    from .api import (
        Choice,
        Float,
        Int,
        Spec,
        StudyInterrupted,
        check,
        list_models,
        load,
        nested,
        plan,
        promote,
        rollback,
        tune,
    )
    from .study.check import StudyCheck
    from .study.maintenance.plan import Plan
    from .study.nested_cv import NestedResult
    from .study.result import BestTrial, StudyResult, StudyStopped
    from .study.study_reader import LoadedStudy

    __version__: str

__all__ = [
    "BestTrial",
    "Choice",
    "Float",
    "Int",
    "LoadedStudy",
    "NestedResult",
    "Plan",
    "Spec",
    "StudyCheck",
    "StudyInterrupted",
    "StudyResult",
    "StudyStopped",
    "check",
    "list_models",
    "load",
    "nested",
    "plan",
    "promote",
    "rollback",
    "tune",
]


_find_name = export_lazily(
    __name__,
    {
        "api": [
            *("Choice", "Float", "Int", "Spec", "StudyInterrupted"),
            *("check", "list_models", "load", "nested", "plan", "promote", "rollback", "tune"),
        ],
        "study.check": ["StudyCheck"],
        "study.maintenance.plan": ["Plan"],
        "study.nested_cv": ["NestedResult"],
        "study.result": ["BestTrial", "StudyResult", "StudyStopped"],
        "study.study_reader": ["LoadedStudy"],
    },
)


def __getattr__(name: str) -> Any:
    """Import a public name at its first use; `hpsearch --help` needs none."""
    if name == "__version__":
        from importlib.metadata import version

        return version("hpsearch")
    return _find_name(name)
