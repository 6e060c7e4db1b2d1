"""hpsearch's Gaussian process as a sampler of any Optuna study.

import hpsearch.optuna
import optuna

study = optuna.create_study(sampler=hpsearch.optuna.GPSampler(seed=0))
"""

from .gp import GPSampler

__all__ = ["GPSampler"]
