"""The Gaussian process of Keras Tuner's oracle, without the checks of what it is asked.

For one suggestion the oracle asks it 25,000 times for a single point, and scikit-learn's checks of
that point take two thirds of an answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def unchecked(process: Any) -> Any:
    """A fresh process like `process` that answers for float64 points without checking them.

    Args:
        process: A `GaussianProcessRegressor` of scikit-learn's; the arithmetic stays its own.
    """
    from scipy.linalg.lapack import dtrtrs

    kind = type(process)

    class Unchecked(kind):  # type: ignore[misc,valid-type]
        """`predict` takes points of shape (n, n_parameters)."""

        def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:  # noqa: N803
            """Mean and standard deviation, each of shape (n,)."""
            if not return_std or return_cov or not hasattr(self, "X_train_"):
                return super().predict(X, return_std, return_cov)
            across = self.kernel_(X, self.X_train_)
            mean = self._y_train_std * (across @ self.alpha_) + self._y_train_mean
            solved, _ = dtrtrs(self.L_, across.T, lower=1)
            variance = self.kernel_.diag(X) - np.einsum("ij,ij->j", solved, solved)
            return mean, np.sqrt(np.maximum(variance, 0.0) * self._y_train_std**2)

    return Unchecked(**process.get_params(deep=False))
