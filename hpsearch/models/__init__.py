"""Networks: the built-in families, and custom `build` functions."""

from .family_registry import (
    FAMILIES,
    Family,
    find_family,
    format_unknown_family,
    get_convention,
    load_family,
    make_training_defaults,
    strip_convention,
)
from .outputs import Outputs, make_outputs

__all__ = [
    "FAMILIES",
    "Family",
    "Outputs",
    "find_family",
    "format_unknown_family",
    "get_convention",
    "load_family",
    "make_outputs",
    "make_training_defaults",
    "strip_convention",
]
