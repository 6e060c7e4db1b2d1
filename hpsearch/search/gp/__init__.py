"""A Gaussian process sampler for Optuna that needs only numpy and scipy.

    from hpsearch.search.gp import GaussianProcessSampler
    study = optuna.create_study(sampler=GaussianProcessSampler(seed=0))

It imports no other part of this package, so it works in any Optuna study.
"""

from .earlier_processes import EarlierStudy
from .gp_sampler import GaussianProcessSampler
from .model_space import ModelParameter, ModelSpace

__all__ = ["EarlierStudy", "GaussianProcessSampler", "ModelParameter", "ModelSpace"]
