"""The Gaussian process of hpsearch, in OptunaHub's form of a package."""

from hpsearch.optuna import GPSampler

__all__ = ["GPSampler"]
