"""A study of 90 rows and three folds, for the tests that train something."""

from hpsearch.testing.executors import small_problem as problem
from hpsearch.testing.executors import small_trial as trial
from hpsearch.testing.executors import wait_for_result as until_result

__all__ = ["problem", "trial", "until_result"]
