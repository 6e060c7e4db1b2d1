"""Networks: families that ship with the product, and the user's own `build`."""

from .families import FAMILIES, Family, find_family, load_family, reference_of, unknown_family
from .outputs import Outputs, outputs_for

__all__ = [
    "FAMILIES",
    "Family",
    "Outputs",
    "find_family",
    "load_family",
    "outputs_for",
    "reference_of",
    "unknown_family",
]
