"""Contract suites: what every sampler, pruner, family, metric and executor promises.

A test class of pytest's inherits a suite and says how its subject is made. hpsearch's own are
tested by the same suites; docs/extending.md has an example of each. Needs pytest.
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
