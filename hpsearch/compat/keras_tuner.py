"""Private parts of Keras Tuner, and of scikit-learn's Gaussian process that it uses.

Oracles have their own random state and write files. A resumed study must draw the same points as an
uninterrupted one, so a seed is set before every suggestion, and trials are added that an oracle did
not propose. Importing this module does not import Keras Tuner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras_tuner as kt

# ---- oracles ----


def keep_in_memory(oracle: Any) -> None:
    """Stop an oracle from writing files and printing; the journal replaces both."""
    oracle.verbose = 0
    oracle.save = lambda: None
    oracle._save_trial = lambda trial: None


def set_seed(oracle: Any, seed: int) -> None:
    """Make the oracle's next draw depend only on `seed` and its trials.

    The Gaussian process predicts scores of running trials with its last fit, which must not depend
    on when the study was stopped. So it is refitted to the completed trials.
    """
    import numpy as np

    oracle._seed_state = seed
    if not hasattr(oracle, "gpr"):
        return
    oracle._random_state = np.random.RandomState(seed)
    oracle.gpr = without_checks(oracle._make_gpr())
    running, oracle.ongoing_trials = oracle.ongoing_trials, {}
    ended = {k: t for k, t in oracle.trials.items() if t.status == "COMPLETED"}
    if running and len(ended) > 1:
        everything, oracle.trials = oracle.trials, ended
        oracle.gpr.fit(*oracle._vectorize_trials())
        oracle.trials = everything
    oracle.ongoing_trials = running


def go_on_from(oracle: Any, trial: Any) -> None:
    """Let a grid oracle continue while one of its trials is running.

    It waits because a model may add hyperparameters; here the space is complete.
    """
    oracle._populate_next.append(trial.trial_id)


def add_trial(oracle: Any, values: Mapping[str, Any], tuner: str) -> Any:
    """Add a running trial with these values to an oracle that did not propose it."""
    from keras_tuner.engine.trial import Trial

    hyperparameters = oracle.get_space()
    hyperparameters.values = dict(values)
    trial = Trial(hyperparameters, f"{len(oracle.trials):07d}", status="RUNNING")
    oracle._record_values(trial)
    oracle.trials[trial.trial_id] = trial
    oracle.ongoing_trials[tuner] = trial
    oracle.start_order.append(trial.trial_id)
    return trial


def without_checks(process: Any) -> Any:
    """Copy `process` without scikit-learn's validation of its float64 inputs.

    An oracle predicts single points 25,000 times per suggestion; validation takes two thirds of
    that time.

    Args:
        process: A scikit-learn `GaussianProcessRegressor`; its arithmetic is unchanged.
    """
    import numpy as np
    from scipy.linalg.lapack import dtrtrs

    kind = type(process)

    class Unchecked(kind):  # type: ignore[misc,valid-type]
        """A Gaussian process whose `predict` takes points of shape (n, n_parameters)."""

        def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:  # noqa: N803
            """Predict mean and standard deviation, each of shape (n,)."""
            if not return_std or return_cov or not hasattr(self, "X_train_"):
                return super().predict(X, return_std, return_cov)
            across = self.kernel_(X, self.X_train_)
            mean = self._y_train_std * (across @ self.alpha_) + self._y_train_mean
            solved, _ = dtrtrs(self.L_, across.T, lower=1)
            variance = self.kernel_.diag(X) - np.einsum("ij,ij->j", solved, solved)
            return mean, np.sqrt(np.maximum(variance, 0.0) * self._y_train_std**2)

    return Unchecked(**process.get_params(deep=False))


# ---- hyperparameters ----


def set_conditions(hp: kt.HyperParameters, parents: Sequence[tuple[str, list[Any]]]) -> None:
    """Declare the next hyperparameters under these parents and their values.

    The public `conditional_scope` nests parents; here they are independent.
    """
    from keras_tuner.src.engine.conditions import Parent

    hp._conditions = [Parent(name, values) for name, values in parents]


def recording_hyperparameters_class() -> Any:
    """Make a `keras_tuner.HyperParameters` class that calls `note` for each request."""
    import keras_tuner

    class AskingHyperparameters(keras_tuner.HyperParameters):  # type: ignore[misc]
        """Calls `note` with each requested hyperparameter, its name and scope resolved."""

        def note(self, hp: Any, exists: bool) -> None:
            """Set `self.values[hp.name]`; `exists`: whether its conditions hold."""
            raise NotImplementedError

        def _retrieve(self, hp: Any) -> Any:
            # Choice, Int, Float, Boolean and Fixed all call this.
            self.note(hp, self._conditions_are_active(hp.conditions))
            return super()._retrieve(hp)

    return AskingHyperparameters
