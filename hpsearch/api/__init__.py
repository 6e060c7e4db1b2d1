"""The functions of the package: what the commands do, for scripts and notebooks.

They show progress, stop at an interrupt, and name arguments where a command names options.
"""

from .functions import check, list_models, load, nested, plan, promote, rollback, tune
from .interruption import StudyInterrupted

__all__ = [
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
