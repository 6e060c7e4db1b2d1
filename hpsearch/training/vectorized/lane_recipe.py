"""Make the recipe of one trial whose lanes run on threads from its template."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from ...trial import Value
from ..batching import batch_size
from ..problem import Problem
from .objective import LossObjective
from .program import Recipe
from .recipe import chunk_rows, is_large
from .template import Template


def make_lane_recipe(
    problem: Problem,
    template: Template,
    params: Mapping[str, Value],
    complete: Mapping[str, Value],
) -> Recipe:
    """Put a trial's numbers into the recipe of its template; builds no Keras model.

    Args:
        problem: The problem.
        template: The trial's template.
        params: The trial's hyperparameters, the fixed ones included.
        complete: The same with the family's defaults.
    """
    own = template.recipe
    strengths = [complete[s] if isinstance(s, str) else s for s in template.sources]
    shapes = [shape for shape in template.own_shapes(complete) if shape is not None]
    network = own.network.for_trial(strengths, shapes)  # type: ignore[arg-type]
    update = copy.copy(own.update)
    update.numbers = template.optimizer.rates(params)
    objective = own.objective
    if isinstance(objective, LossObjective):
        objective = LossObjective(problem.task, params, objective.widths, own.n_members)
    shares = not own.is_compiled and not is_large(problem, network)
    return Recipe(
        network,
        update,
        objective,
        batch_size(params),
        template.make_schedule(params),
        chunk=chunk_rows(problem, params, network) if shares else None,
        scaling=own.scaling,
        transforms=own.transforms,
        is_compiled=own.is_compiled,
        steps=own.steps,
    )
