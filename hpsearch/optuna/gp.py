"""The sampler `gp` for Optuna studies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..param_encoding import to_distribution
from ..search.gp import GaussianProcessSampler, ModelParameter
from ..spec.conditions import NumberRange
from ..spec.search_space import Categorical, Parameter


class GPSampler(GaussianProcessSampler):
    """Bayesian optimization of mixed and conditional spaces, in any Optuna study.

    The first trials are points of a Sobol sequence; later ones maximize the expected improvement of
    a Gaussian process with a Matérn-5/2 kernel. Supports conditional parameters, uses pruned and
    failed trials, takes running trials into account, and tries no point twice. Requires only NumPy
    and SciPy.

    A suggestion depends only on the seed, the trial's number and the other trials, so a study that
    is continued with a new sampler equals an uninterrupted one. Two or three objectives are
    improved by the hypervolume of their front, more are combined with random weights (ParEGO).
    Constraints are those of `Trial.set_constraint`.

    Args:
        seed: Seed of all random draws.
        space: `hpsearch.Float`, `Int` and `Choice`, with `when` for conditions. Without it, the
            space is inferred from the trials: the first trial is random, and a branch is unknown
            until a trial takes it.
        feasible: Called with the values of a point; returns whether it may be tried.
        budget: Number of trials; a quarter of it, 4 to 12, are Sobol points.
        startup: Number of Sobol points; 12 without `budget`.

    Examples:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(sampler=GPSampler(seed=0))
        >>> study.optimize(lambda trial: trial.suggest_float("x", -5, 5) ** 2, n_trials=25)
        >>> study.best_value < 0.01
        True
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        space: Sequence[Parameter] | None = None,
        feasible: Callable[[dict[str, Any]], bool] | None = None,
        budget: int | None = None,
        startup: int | None = None,
    ) -> None:
        declared = None if space is None else [_to_model_parameter(p) for p in space]
        super().__init__(
            seed=seed, space=declared, feasible=feasible, budget=budget, startup=startup
        )


def _to_model_parameter(parameter: Parameter) -> ModelParameter:
    choices = parameter.choices if isinstance(parameter, Categorical) else None
    when = {parent: _to_container(allowed) for parent, allowed in parameter.when.items()}
    return ModelParameter(parameter.name, to_distribution(parameter, choices), when)


def _to_container(allowed: Any) -> Any:
    """Convert the allowed values of a parent to a container of Optuna values."""
    if isinstance(allowed, Mapping):
        ends = {"low": allowed.get("min"), "high": allowed.get("max")}
        return NumberRange(**{key: end for key, end in ends.items() if end is not None})
    if isinstance(allowed, NumberRange | tuple):
        return allowed
    return tuple(allowed) if isinstance(allowed, list) else (allowed,)
