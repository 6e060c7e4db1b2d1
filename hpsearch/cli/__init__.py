"""The command line: parse, call one function, print.

Slow imports are inside the command that needs them: `hpsearch --help` answers
at once.
"""

from . import completion, maintenance, models, study, trials, ui, watch
from .group import main

__all__ = ["completion", "main", "maintenance", "models", "study", "trials", "ui", "watch"]
