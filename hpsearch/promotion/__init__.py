"""Promote a study's winner: packing, registry, gate, prediction."""

from .gate import Comparison, Gate, NotBetterError
from .model_export import export_model
from .package import Lineage, save_served_model
from .reference import Reference, parse_reference
from .registry import (
    Promotion,
    RegisteredVersion,
    list_versions,
    name_study_of_versions,
    promote_run,
    rollback_model,
)
from .scoring import describe_counts, predict_file

__all__ = [
    "Comparison",
    "Gate",
    "Lineage",
    "NotBetterError",
    "Promotion",
    "Reference",
    "RegisteredVersion",
    "describe_counts",
    "export_model",
    "list_versions",
    "name_study_of_versions",
    "parse_reference",
    "predict_file",
    "promote_run",
    "rollback_model",
    "save_served_model",
]
