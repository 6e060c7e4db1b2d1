"""Contract test suites for samplers, pruners, families, metrics and executors.

A pytest class inherits a suite and provides a fixture that creates its subject. The built-in ones
are tested by the same suites; docs/extending.md has an example of each. Requires pytest.
"""

from .executors import ExecutorContract
from .families import FamilyContract
from .metric_contract import MetricContract
from .pruners import PrunerContract
from .samplers import SamplerContract

__all__ = [
    "ExecutorContract",
    "FamilyContract",
    "MetricContract",
    "PrunerContract",
    "SamplerContract",
]
