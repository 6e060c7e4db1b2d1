"""A Gaussian process sampler for Optuna, on numpy and scipy alone.

    from hpsearch.search.gp import GaussianProcessSampler
    study = optuna.create_study(sampler=GaussianProcessSampler(seed=0))

Nothing here knows another part of this package, so it works in any Optuna study.
"""

from .sampler import GaussianProcessSampler
from .space import Parameter

__all__ = ["GaussianProcessSampler", "Parameter"]
