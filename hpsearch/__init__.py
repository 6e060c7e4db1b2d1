"""Hyperparameter search with cross-validation for Keras, every run in MLflow.

import hpsearch

result = hpsearch.tune("search_spaces/breast_cancer.yaml")
result.best.params, result.test
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    from .study import (
        BestTrial,
        LoadedStudy,
        NestedResult,
        Plan,
        StudyCheck,
        StudyResult,
        StudyStopped,
    )

    __version__: str

_OF_STUDY = (
    "BestTrial",
    "LoadedStudy",
    "NestedResult",
    "Plan",
    "StudyCheck",
    "StudyResult",
    "StudyStopped",
)
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


def __getattr__(name: str) -> Any:
    """Import a public name at its first use; `hpsearch --help` needs none."""
    if name == "__version__":
        from importlib.metadata import version

        return version("hpsearch")
    if name in __all__:
        home = "study" if name in _OF_STUDY else "api"
        return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
