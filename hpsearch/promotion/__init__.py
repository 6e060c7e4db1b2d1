"""Promote a study's winner: packing, registry, gate, prediction."""

from typing import TYPE_CHECKING

from ..lazy_exports import export_lazily

if TYPE_CHECKING:
    from .answer_files import open_answers
    from .folder_scoring import holds_tables, predict_folder
    from .gate import Comparison, Gate, NotBetterError
    from .model_export import export_model
    from .package import Lineage, save_served_model
    from .quantization import QuantizedExport, export_quantized
    from .reference import Reference, parse_reference
    from .registry import (
        Promotion,
        RegisteredVersion,
        list_versions,
        name_study_of_versions,
        promote_run,
        rollback_model,
    )
    from .scoring import RowOptions, describe_counts, predict_file

__all__ = [
    "Comparison",
    "Gate",
    "Lineage",
    "NotBetterError",
    "Promotion",
    "QuantizedExport",
    "Reference",
    "RegisteredVersion",
    "RowOptions",
    "describe_counts",
    "export_model",
    "export_quantized",
    "holds_tables",
    "list_versions",
    "name_study_of_versions",
    "open_answers",
    "parse_reference",
    "predict_file",
    "predict_folder",
    "promote_run",
    "rollback_model",
    "save_served_model",
]
__getattr__ = export_lazily(
    __name__,
    {
        "answer_files": ["open_answers"],
        "folder_scoring": ["holds_tables", "predict_folder"],
        "gate": ["Comparison", "Gate", "NotBetterError"],
        "model_export": ["export_model"],
        "package": ["Lineage", "save_served_model"],
        "quantization": ["QuantizedExport", "export_quantized"],
        "reference": ["Reference", "parse_reference"],
        "registry": [
            "Promotion",
            "RegisteredVersion",
            "list_versions",
            "name_study_of_versions",
            "promote_run",
            "rollback_model",
        ],
        "scoring": ["RowOptions", "describe_counts", "predict_file"],
    },
)
