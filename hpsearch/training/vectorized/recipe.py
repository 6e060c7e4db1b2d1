"""From a trial's hyperparameters to what its programs compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from ...errors import TrainingError, UnsuitableError
from ...trial import Value
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
    build = problem.builder(params, seed)
    update = Update(params)
    try:
        network = Network(build, {"model": problem.model, **params}, pad=not update.by_shape)
    except TrainingError as error:
        raise UnsuitableError(f"{error}: use trainer: keras_fit") from error
    _check(problem, network.plan)
    objective = Objective(problem.task, params)
    return Recipe(network, update, objective, batch_size(params))


def _check(problem: Problem, model: keras.Model) -> None:
    if session.on_cpu() and (found := _convolutions(model)):
        raise UnsuitableError(
            f"{found[0]} is a convolution, which XLA trains many times slower than TensorFlow "
            "on a CPU: use trainer: keras_fit"
        )
    problem.check_output(model.output_shape)


def _convolutions(model: Any) -> list[str]:
    layers = model._flatten_layers(include_self=False)
    return [
        layer.name for layer in layers if any("Conv" in k.__name__ for k in type(layer).__mro__)
    ]
