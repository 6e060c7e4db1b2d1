"""The command line: parse, call one function, print.

Every import that takes time stands inside the command that needs it: `hpsearch --help` answers
at once.
"""

from . import maintenance, models, study, ui
from .group import main

__all__ = ["main", "maintenance", "models", "study", "ui"]
