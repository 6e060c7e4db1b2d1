"""The sampler `gp` for Optuna, with a space declared as a study's is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..param_encoding import to_distribution
from ..search.gp import GaussianProcessSampler, ModelParameter
from ..spec.conditions import NumberRange
from ..spec.search_space import Categorical, Parameter


class GPSampler(GaussianProcessSampler):
    """Bayesian optimization of mixed and conditional spaces, in any Optuna study.

    A Sobol sequence, then the largest expected improvement of a Gaussian process with a
    Matérn-5/2 kernel. It knows which parameters exist under which conditions, uses pruned and
    failed trials, believes in running ones, and tries no point twice. NumPy and SciPy alone.

    A suggestion depends on the seed, the trial's number and the other trials: a study that goes
    on with a new sampler is the one that was never stopped. Several objectives become one by
    random weights (ParEGO). Constraints of Optuna (`constraints_func`) are not read.

    Args:
        seed: Of all draws.
        space: `hpsearch.Float`, `Int` and `Choice`, with `when` for conditions. Without it, the
            space is read from the trials: the first one is random, and a branch is known once a
            trial took it.
        feasible: Whether a point, given as its values, may be tried.
        budget: How many trials there will be; a quarter of it, 4 to 12, is the Sobol start.
        startup: How many trials the Sobol start has; 12 without `budget`.

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
    """The values of a parent, as a study file or a search space has them."""
    if isinstance(allowed, Mapping):
        ends = {"low": allowed.get("min"), "high": allowed.get("max")}
        return NumberRange(**{key: end for key, end in ends.items() if end is not None})
    if isinstance(allowed, NumberRange | tuple):
        return allowed
    return tuple(allowed) if isinstance(allowed, list) else (allowed,)
