"""From a trial's hyperparameters to what its programs compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from ...errors import TrainingError, UnsuitableError
from ...models import load_family, outputs_for
from ...trial import Value, derive_seed
from ..order import batch_size
from ..problem import Problem
from . import session
from .network import Network
from .objective import Objective
from .program import Recipe
from .update import Update


def make_recipe(problem: Problem, params: Mapping[str, Value], seed: int) -> Recipe:
    """Build what `params` describe, without a value and without a program.

    Args:
        problem: Rows, folds and goal.
        params: Hyperparameters, the fixed ones included.
        seed: The trial's, for what the user's own function draws.

    Raises:
        UnsuitableError: If the model cannot be vectorised.
        Exception: Whatever the user's function raises.
    """
    family = load_family(problem.model)
    outputs = outputs_for(problem.task, problem.n_outputs)
    inputs = problem.features.shape[1:]

    def build() -> keras.Model:
        model = family.build(params, inputs, outputs)
        if not model.built:
            model.build((None, *inputs))
        return model

    if family.reads is None:  # a user's function may draw random numbers of its own
        keras.utils.set_random_seed(derive_seed(seed, "build"))
    update = Update(params)
    try:
        network = Network(build, {"model": problem.model, **params}, pad=not update.by_shape)
    except TrainingError as error:
        raise UnsuitableError(f"{error}: use trainer: keras_fit") from error
    _check(network.plan, outputs.units)
    objective = Objective(problem.task, params)
    return Recipe(network, update, objective, batch_size(params))


def _check(model: keras.Model, units: int) -> None:
    if session.on_cpu() and (found := _convolutions(model)):
        raise UnsuitableError(
            f"{found[0]} is a convolution, which XLA trains many times slower than TensorFlow "
            "on a CPU: use trainer: keras_fit"
        )
    shape = model.output_shape
    if not isinstance(shape, tuple) or tuple(shape) != (None, units):
        raise TrainingError(
            f"the network's output has shape {shape}, but the task needs (None, {units}). "
            "Let the last layer have outputs.units units and outputs.activation."
        )


def _convolutions(model: Any) -> list[str]:
    layers = model._flatten_layers(include_self=False)
    return [
        layer.name for layer in layers if any("Conv" in k.__name__ for k in type(layer).__mro__)
    ]
