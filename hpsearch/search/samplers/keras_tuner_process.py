"""The Gaussian process of Keras Tuner's oracle, without the checks of what it is asked.

For one suggestion the oracle asks it 25,000 times for a single point, and scikit-learn's checks of
that point take two thirds of an answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg.lapack import dtrtrs
from sklearn.gaussian_process import GaussianProcessRegressor


class UncheckedProcess(GaussianProcessRegressor):  # type: ignore[misc]
    """The same arithmetic as scikit-learn's, for a float64 array of points."""

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:  # noqa: N803
        """Mean and standard deviation at points of shape (n, n_parameters), each of shape (n,)."""
        if not return_std or return_cov or not hasattr(self, "X_train_"):
            return super().predict(X, return_std, return_cov)
        across = self.kernel_(X, self.X_train_)
        mean = self._y_train_std * (across @ self.alpha_) + self._y_train_mean
        solved, _ = dtrtrs(self.L_, across.T, lower=1)
        variance = self.kernel_.diag(X) - np.einsum("ij,ij->j", solved, solved)
        return mean, np.sqrt(np.maximum(variance, 0.0) * self._y_train_std**2)
