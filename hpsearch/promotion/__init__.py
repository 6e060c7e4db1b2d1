"""From a study's winner to a model in use: packing, the registry, the gate, scoring."""

from .export import export_model
from .gate import Comparison, Gate, NotBetterError
from .package import Lineage, save_served_model
from .reference import Reference, parse_reference
from .registry import Promotion, RegisteredVersion, models, promote, rollback
from .scoring import describe_counts, open_served, predict

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
    "models",
    "open_served",
    "parse_reference",
    "predict",
    "promote",
    "rollback",
    "save_served_model",
]
