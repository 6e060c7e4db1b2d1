"""Train with a `keras_tuner.HyperModel.fit`, called as Keras Tuner calls it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...models import get_convention, strip_convention
from ...models.user_network import build_for_rows
from ...spec.function_reference import load_object
from ...trial import TrialSpec, Value
from ..input_layout import list_input_shapes
from ..problem import Problem, derive_build_seed

if TYPE_CHECKING:
    import keras


def find_hypermodel(problem: Problem) -> Any:
    """Return the `HyperModel` if its `fit` trains; else None."""
    if problem.own_fit is None or get_convention(problem.model) != "keras_tuner":
        return None
    from ...models.introspection.keras_tuner_convention import to_hypermodel

    reference = strip_convention(problem.model)
    return to_hypermodel(load_object(reference), reference)


def build_hypermodel(
    hypermodel: Any, problem: Problem, params: Mapping[str, Value], trial: TrialSpec
) -> keras.Model:
    """Build its model, as `Problem.make_own_builder` does."""
    import keras

    from ...models.introspection.keras_tuner_convention import build
    from ...models.introspection.space_discovery import answer_from_params

    keras.utils.set_random_seed(derive_build_seed(trial.seed))
    model = build(hypermodel, params, answer_from_params(params))
    build_for_rows(model, list_input_shapes(problem, params))
    return model


def run_hypermodel_fit(
    hypermodel: Any,
    model: keras.Model,
    params: Mapping[str, Value],
    data: tuple[Any, Any],
    gates: tuple[Any, Any],
    defaults: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> None:
    """Call `HyperModel.fit`.

    Arguments that it omits in its calls of `model.fit` are added there, since it may not accept
    those that it sets itself. A final fit has no validation rows: a `fit` that requires some gets
    the training rows.

    Args:
        hypermodel: The `HyperModel`.
        model: The model of its `build`.
        params: The trial's hyperparameters.
        data: Features and targets.
        gates: Callbacks to call before and after custom ones.
        defaults: Batch size and epochs.
        arguments: Other arguments that Keras Tuner passes.
    """
    from ...models.introspection.keras_tuner_convention import make_hyperparameters

    fit = model.fit

    def fit_with_defaults(*args: Any, **given: Any) -> Any:
        own = [c for c in given.pop("callbacks", None) or () if c not in gates]
        callbacks = [gates[0], *own, gates[1]]
        return fit(*args, **{**defaults, "verbose": 0, **given, "callbacks": callbacks})

    object.__setattr__(model, "fit", fit_with_defaults)
    hp = make_hyperparameters(params)
    taken = inspect.signature(hypermodel.fit).parameters
    more = {name: value for name, value in defaults.items() if name in taken}
    validation = taken.get("validation_data")
    if validation is not None and validation.default is inspect.Parameter.empty:
        more["validation_data"] = data
    hypermodel.fit(hp, model, *data, **{**more, **arguments, "callbacks": [*gates]})
