"""From a trial's hyperparameters to what its programs compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from ...errors import TrainingError, UnsuitableError
from ...spec.reference import is_reference
from ...trial import Value
from ..compiled import compiled_loss, compiled_optimizer, why_not_one_program
from ..initial import blueprint
from ..losses import make_loss
from ..optimizers import make_optimizer
from ..order import batch_size
from ..problem import Problem
from ..schedules import Schedule, make_schedule
from ..several_outputs import over_outputs, widths_of
from . import session
from .compiled_objective import CompiledObjective
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
    try:
        plan = blueprint(build)
        optimizer = _optimizer(plan, params)
        update = Update(optimizer)
        loss = compiled_loss(plan) if plan.compiled else None
        plan.compiled = False  # or Keras would compile its twin as well
        known = {"model": problem.model, **params}
        network = Network(plan, known, pad=not update.by_shape)
    except TrainingError as error:
        raise UnsuitableError(f"{error}: use trainer: keras_fit") from error
    schedule = make_schedule(params) if loss is None else _compiled_schedule(optimizer)
    _check(problem, plan)
    objective: Objective | CompiledObjective
    located = problem.located(params)
    named = str(located.get("loss"))
    if loss is not None:
        objective = CompiledObjective(loss, problem, known)
    elif is_reference(named):
        own = over_outputs(make_loss(problem.task, located), widths_of(plan))
        objective = CompiledObjective(own, problem, {"loss": named})
    else:
        objective = Objective(problem.task, params, widths_of(plan))
    bends = any(s.quantiles is not None for s in problem.statistics_of(params))
    return Recipe(
        network,
        update,
        objective,
        batch_size(params),
        schedule,
        bends=bends,
        transforms=problem.transforms,
    )


def _optimizer(plan: keras.Model, params: Mapping[str, Value]) -> keras.optimizers.Optimizer:
    """The optimizer that the user compiled, or else the one that `params` name."""
    if not plan.compiled:
        return make_optimizer(params)
    if reason := why_not_one_program(plan):
        raise TrainingError(reason)
    return compiled_optimizer(plan)


def _compiled_schedule(optimizer: keras.optimizers.Optimizer) -> Schedule:
    """The one rate of an optimizer that the user compiled."""
    return Schedule("constant", float(optimizer.learning_rate), {})


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
