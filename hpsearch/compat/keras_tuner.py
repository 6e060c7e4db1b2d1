"""Private parts of Keras Tuner, and of the Gaussian process of scikit-learn that it asks.

Its oracles draw from a state of their own and write files; a study that was stopped has to draw
what it would have drawn, so seeds are set before every question and trials are added that an
oracle did not propose. Importing this module does not import Keras Tuner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras_tuner as kt

# ---- oracles ----


def keep_in_memory(oracle: Any) -> None:
    """Let an oracle write and print nothing: the journal is kept already."""
    oracle.verbose = 0
    oracle.save = lambda: None
    oracle._save_trial = lambda trial: None


def set_seed(oracle: Any, seed: int) -> None:
    """Let the oracle's next draw depend on `seed` and on the trials that it knows.

    The Gaussian process guesses the scores of running trials as it was fitted last; that must not
    depend on when the study was stopped, so it is fitted anew to the completed ones.
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
    """Let a grid oracle go on although a trial of it runs.

    It waits for what a model may still ask for; our space is whole.
    """
    oracle._populate_next.append(trial.trial_id)


def add_trial(oracle: Any, values: Mapping[str, Any], tuner: str) -> Any:
    """A running trial of these values that the oracle did not propose."""
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
    """A fresh process like `process` that answers for float64 points without checking them.

    For one suggestion the oracle asks it 25,000 times for a single point, and scikit-learn's
    checks of that point take two thirds of an answer.

    Args:
        process: A `GaussianProcessRegressor` of scikit-learn's; the arithmetic stays its own.
    """
    import numpy as np
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


# ---- hyperparameters ----


def set_conditions(hp: kt.HyperParameters, parents: Sequence[tuple[str, list[Any]]]) -> None:
    """Declare the next hyperparameters under these parents and values of theirs.

    The public `conditional_scope` nests parents into each other; here they stand side by side.
    """
    from keras_tuner.src.engine.conditions import Parent

    hp._conditions = [Parent(name, values) for name, values in parents]


def recording_hyperparameters_class() -> Any:
    """A class of `keras_tuner.HyperParameters` that tells its `note` what it is asked for."""
    import keras_tuner

    class AskingHyperparameters(keras_tuner.HyperParameters):  # type: ignore[misc]
        """Calls `note` with each hyperparameter, its name and scope resolved, before it answers."""

        def note(self, hp: Any, exists: bool) -> None:
            """Set `self.values[hp.name]` to the answer; `exists`: its conditions hold."""
            raise NotImplementedError

        def _retrieve(self, hp: Any) -> Any:
            # All of Choice, Int, Float, Boolean and Fixed come here.
            self.note(hp, self._conditions_are_active(hp.conditions))
            return super()._retrieve(hp)

    return AskingHyperparameters
