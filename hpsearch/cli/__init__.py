"""The command line: parse, call one function, print.

Every import that takes time stands inside the command that needs it: `hpsearch --help` answers
at once.
"""

from . import models, study, ui, upkeep
from .group import main

__all__ = ["main", "models", "study", "ui", "upkeep"]
