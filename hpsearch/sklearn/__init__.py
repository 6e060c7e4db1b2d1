"""A study as a scikit-learn estimator: `KerasSearchClassifier` and `KerasSearchRegressor`."""

from .search_cv import KerasSearchClassifier, KerasSearchCV, KerasSearchRegressor

__all__ = ["KerasSearchCV", "KerasSearchClassifier", "KerasSearchRegressor"]
