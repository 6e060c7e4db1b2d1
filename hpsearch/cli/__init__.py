"""The command line: parse, call one function, print.

Slow imports are inside the command that needs them: `hpsearch --help` answers
at once.
"""

from . import (
    agents,
    cluster,
    completion,
    dashboard,
    maintenance,
    models,
    requests,
    study,
    trials,
    ui,
    watch,
)
from .group import main

__all__ = [
    "agents",
    "cluster",
    "completion",
    "dashboard",
    "main",
    "maintenance",
    "models",
    "requests",
    "study",
    "trials",
    "ui",
    "watch",
]
