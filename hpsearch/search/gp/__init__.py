"""A Gaussian process sampler for Optuna, on numpy and scipy alone.

    from hpsearch.search.gp import GaussianProcessSampler
    study = optuna.create_study(sampler=GaussianProcessSampler(seed=0))

Nothing here knows another part of this package, so it works in any Optuna study.
"""

from .gp_sampler import GaussianProcessSampler
from .model_space import ModelParameter

__all__ = ["GaussianProcessSampler", "ModelParameter"]
