"""The functions of the package: what the commands do, for scripts and notebooks.

They show progress, stop at an interrupt, and name arguments where a command names options.
"""

from ..spec.search_space import Categorical as Choice
from ..spec.search_space import Float, Int
from ..spec.spec_builder import Spec
from .functions import check, list_models, load, nested, plan, promote, rollback, tune
from .interruption import StudyInterrupted

__all__ = [
    "Choice",
    "Float",
    "Int",
    "Spec",
    "StudyInterrupted",
    "check",
    "list_models",
    "load",
    "nested",
    "plan",
    "promote",
    "rollback",
    "tune",
]
