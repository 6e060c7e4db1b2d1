"""Build a trial's `Recipe` from its hyperparameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from ...compat.keras import flat_layers
from ...errors import TrainingError, UnsuitableError
from ...models.members import count_members
from ...spec.function_reference import is_reference
from ...trial import Value
from ..batching import batch_size
from ..compiled_model import clone_compiled_optimizer, get_compiled_loss, why_not_vectorizable
from ..fold_weights import get_step_factors
from ..keras.own_training import find_own_training
from ..losses import make_loss
from ..multi_output import adapt_loss, get_output_widths
from ..optimizers import DEFAULT_OPTIMIZER, make_optimizer
from ..problem import Problem, Watch
from ..schedules import Schedule, has_scheduled_strengths, make_schedule
from ..weight_initialization import build_blueprint
from . import session
from .compiled_objective import CompiledObjective
from .network import LaneNetwork
from .objective import LossObjective, TrainingObjective
from .optimizer_switch import OptimizerSwitch
from .padding import is_by_row
from .program import Recipe
from .update import OptimizerUpdate, Update

CHUNK = 64  # rows that are computed together if batches of several sizes share a program
# Largest rows times weights of an epoch for which trials share programs. Branches and chunks slow
# an epoch down, so a large network gets programs of its own.
SHARED_WORK = 1 << 28


def make_recipe(
    problem: Problem,
    params: Mapping[str, Value],
    seed: int,
    *,
    shares: bool = False,
    batched: bool = False,
    shares_depth: bool = False,
    watch: Watch = dict,
) -> Recipe:
    """Build the recipe that `params` describe; computes no weights and compiles nothing.

    Args:
        problem: The problem.
        params: Hyperparameters, the fixed ones included.
        seed: The trial's seed, which a custom model may use.
        shares: Whether its programs also serve trials with other optimizers and batch sizes, as
            lanes on threads do.
        batched: Whether the lanes are one batch, in which each lane selects its optimizer.
        shares_depth: Whether lanes may skip hidden layers; see `LaneNetwork`.
        watch: See `Problem.make_builder`.

    Raises:
        UnsuitableError: If the model cannot be vectorised.
        Exception: Any exception of a custom function.
    """
    build = problem.make_builder(params, seed, watch)
    try:
        plan = build_blueprint(build)
        if reason := find_own_training(plan, problem):
            raise TrainingError(reason)
        optimizer = _make_optimizer(plan, params)
        own = OptimizerUpdate(optimizer)
        loss = get_compiled_loss(plan) if plan.compiled else None
        plan.compiled = False  # otherwise Keras would compile the clone, too
        named = _name_model(problem, params)
        pad = not own.by_shape and (shares_depth or not batched)
        network = LaneNetwork(plan, named, pad=pad, batched=batched, shares_depth=shares_depth)
    except TrainingError as error:
        raise UnsuitableError(f"{error}: use trainer: keras_fit") from error
    schedule = make_schedule(params) if loss is None else _compiled_schedule(optimizer)
    _check_model(problem, plan, batched=batched)
    shares = shares and loss is None and not is_large(problem, network)
    switches = shares or (batched and loss is None)
    update = _switch_between(problem, params, own, network) if switches else own
    chunk = chunk_rows(problem, params, network) if shares else None
    factors = require_step_factors(problem, params, plan, update)
    return Recipe(
        network,
        update,
        _make_objective(problem, params, plan, loss),
        batch_size(params),
        schedule,
        chunk=chunk,
        scaling=describe_scaling(problem, params),
        transforms=problem.target_transforms,
        is_compiled=loss is not None,
        steps=f"{'factors' * factors} {'shares' * has_scheduled_strengths(params)}",
    )


def is_large(problem: Problem, network: LaneNetwork) -> bool:
    """Whether an epoch takes so long that programs of its own are worth their compilation."""
    longest = max(len(fold.train) for fold in problem.folds)
    return bool(network.size * longest > SHARED_WORK)


def describe_scaling(problem: Problem, params: Mapping[str, Value]) -> str:
    """Describe the scaling beyond shift and factor, as part of a program's key."""
    statistics = problem.get_statistics(params)
    bends = any(s.quantiles is not None for s in statistics)
    clips = any(s.clip is not None for s in statistics)
    clamps = any(s.target_range is not None for s in statistics)
    return f"{'quantiles' * bends} {'clip' * clips} {'clamp' * clamps}"


def require_step_factors(
    problem: Problem, params: Mapping[str, Value], plan: keras.Model, update: Update
) -> bool:
    """Return whether steps of weights have factors.

    Raises:
        UnsuitableError: If they have, and the optimizer cannot apply them.
    """
    factors = get_step_factors(problem, params, plan) is not None
    if factors and not update.scales:
        raise UnsuitableError(
            f"{params.get('optimizer')} has no learning rate of its own for each weight, which "
            f"{problem.model} needs: use trainer: keras_fit"
        )
    return factors


def make_update(
    problem: Problem, params: Mapping[str, Value], network: LaneNetwork, *, batched: bool
) -> Update:
    """Make the update of the optimizer that `params` select, among the study's alternatives."""
    own = OptimizerUpdate(make_optimizer(params))
    switches = batched or not is_large(problem, network)
    return _switch_between(problem, params, own, network) if switches else own


def _make_optimizer(plan: keras.Model, params: Mapping[str, Value]) -> keras.optimizers.Optimizer:
    """Return the compiled model's optimizer, or else the one that `params` select."""
    if not plan.compiled:
        return make_optimizer(params)
    if reason := why_not_vectorizable(plan):
        raise TrainingError(reason)
    return clone_compiled_optimizer(plan)


def _name_model(problem: Problem, params: Mapping[str, Value]) -> dict[str, Any]:
    """Return the hyperparameters with the model's name, as part of a program's key."""
    return {"model": problem.model, **params}


def _make_objective(
    problem: Problem, params: Mapping[str, Value], model: keras.Model, compiled_loss: Any
) -> TrainingObjective:
    """Make the objective of the compiled model's loss, or else of the loss in `params`."""
    if compiled_loss is not None:
        return CompiledObjective(compiled_loss, problem, _name_model(problem, params))
    located = problem.resolve_loss_path(params)
    named = str(located.get("loss"))
    if not is_reference(named):
        outputs = get_output_widths(model), count_members(model)
        return LossObjective(problem.task, params, *outputs)
    custom = adapt_loss(make_loss(problem.task, located), model)
    return CompiledObjective(custom, problem, {"loss": named})


def _switch_between(
    problem: Problem, params: Mapping[str, Value], own: OptimizerUpdate, network: LaneNetwork
) -> Update:
    """Return the trial's update as a branch among the study's alternatives, if possible."""
    name = str(params.get("optimizer", DEFAULT_OPTIMIZER))
    if name not in problem.optimizers or not own.is_flat(network.trainable):
        return own
    updates = {
        n: own if n == name else OptimizerUpdate(make_optimizer({**params, "optimizer": n}))
        for n in problem.optimizers
    }
    flat = [n for n, update in updates.items() if update.is_flat(network.trainable)]
    return own if len(flat) == 1 else OptimizerSwitch([updates[n] for n in flat], flat.index(name))


def chunk_rows(problem: Problem, params: Mapping[str, Value], network: LaneNetwork) -> int | None:
    """Return the rows to compute together so that all larger batch sizes share a program."""
    can = problem.batch_sizes_vary and is_by_row(network.model)
    return CHUNK if can and batch_size(params) >= CHUNK else None


def _compiled_schedule(optimizer: keras.optimizers.Optimizer) -> Schedule:
    """Return the constant schedule of a compiled model's optimizer."""
    return Schedule("constant", float(optimizer.learning_rate), {})


def _check_model(problem: Problem, model: keras.Model, *, batched: bool) -> None:
    if session.is_on_cpu() and not batched and (found := _find_convolutions(model)):
        raise UnsuitableError(
            f"{found[0]} is a convolution, which XLA trains many times slower than TensorFlow "
            "on a CPU: use trainer: keras_fit"
        )
    problem.check_output_shape(model)


def _find_convolutions(model: Any) -> list[str]:
    layers = flat_layers(model, include_self=False)
    return [
        layer.name for layer in layers if any("Conv" in k.__name__ for k in type(layer).__mro__)
    ]
