"""The package's functions: the commands, for scripts and notebooks.

They show progress, handle interrupts, and name arguments in errors where commands name options.
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
