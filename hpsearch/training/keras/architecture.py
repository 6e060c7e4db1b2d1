"""Build a `shared_model.SharedModel` from hyperparameters, reset for each fold and trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models import Family
from ...trial import TrialSpec, Value
from ..compiled_model import clone_compiled_optimizer, get_compiled_loss, takes_class_indices
from ..fold_weights import get_step_factors, make_fold_batches, make_initial_weights
from ..layer_adaptation import adapt_weights
from ..losses import list_loss_params, make_loss
from ..multi_output import adapt_loss
from ..optimizers import make_optimizer_arguments
from ..phases import enter_phase
from ..problem import Problem
from ..schedules import StepShares, initial_learning_rate, is_scheduled
from ..weight_initialization import build_blueprint
from .scheduled_steps import make_scheduled_optimizer, schedule_dropout
from .shared_model import FoldState, SharedModel

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class Architecture:
    """A compiled network, and the source of a new fold's weights."""

    shared_model: SharedModel
    problem: Problem
    blueprint: (
        keras.Model | None
    )  # a `blueprint`; None: the custom function sets the weights itself
    built_weights: list[np.ndarray]  # the weights after the custom function
    is_user_compiled: bool  # with a learning rate of its own
    phase: int = 0  # index of the phase that it trains

    def make_fold_state(
        self, trial: TrialSpec, fold: int, params: Mapping[str, Value]
    ) -> FoldState:
        """Return the initial state of a fold of `trial`."""
        problem, blueprint = self.problem, self.blueprint
        if blueprint is not None:
            seed = trial.fold_seed(fold, "weights")
            weights = make_initial_weights(problem, params, blueprint, fold=fold, seed=seed)
        else:
            batches = make_fold_batches(problem, params, fold)
            weights = adapt_weights(self.shared_model.model, self.built_weights, batches)
        rate = None
        if not self.is_user_compiled:
            rate = initial_learning_rate(params)
        return self.shared_model.make_fold_state(weights, trial.fold_seed(fold, "dropout"), rate)


def make_architecture_key(family: Family, task: str, params: Mapping[str, Value], seed: int) -> str:
    """Make the key that is equal for trials that can share an `Architecture`.

    The network of a built-in family depends only on the hyperparameters that it reads. A custom
    function may depend on anything, so only trials of equal params and seed share its network.
    """
    if family.defaults is None:
        return repr((sorted(params.items()), seed))
    kind, arguments = make_optimizer_arguments(params)
    arguments.pop("learning_rate")  # a variable of the optimizer
    loss = str(params["loss"]) if params.get("loss") else None
    read = {"loss": loss, **{k: params.get(k) for k in list_loss_params(task, loss)}}
    network = {k: params.get(k, default) for k, default in family.defaults.items()}
    read |= {k: is_scheduled(params, f"{k}_schedule") for k in StepShares._fields}
    return repr((network, kind, sorted(arguments.items()), read))


def make_architecture(
    problem: Problem, features: Any, params: Mapping[str, Value], seed: int, phase: int = 0
) -> Architecture:
    """Build and compile the network for `params`.

    Args:
        problem: The problem.
        features: `resident(problem.features)`.
        params: The hyperparameters.
        seed: The trial's seed.
        phase: Index of the phase that it trains, if there are several.

    Raises:
        TrainingError: If the network's output does not suit the task, or the phase trains nothing.
    """
    build = problem.make_builder(params, seed)
    model = build()
    problem.check_output_shape(model)
    compiled = bool(model.compiled)
    plan = _try_build_blueprint(build)
    given = model.get_weights() if plan is None else []
    if not compiled and is_scheduled(params, "dropout_schedule"):
        model = schedule_dropout(model)
    untrained = enter_phase(model, problem.phases, phase)
    if compiled:
        loss = get_compiled_loss(model)
    else:
        loss = adapt_loss(make_loss(problem.task, problem.resolve_loss_path(params)), model)
    if compiled:
        optimizer = model.optimizer
        if problem.phases:
            rate = problem.phases[phase].find_learning_rate(params)
            optimizer = clone_compiled_optimizer(model, rate)
    else:
        optimizer = make_scheduled_optimizer(params, get_step_factors(problem, params, model))
    # No compiled metrics: metrics are computed from predictions.
    model.compile(optimizer, loss, run_eagerly=model.run_eagerly if compiled else False)
    if takes_class_indices(loss):
        classes = problem.target.argmax(axis=1)[:, None].astype(np.float32)
        problem = replace(problem, target=classes)
    constant = untrained if plan is None else set()  # other weights are drawn for each fold
    network = SharedModel(model, problem, features, constant)
    return Architecture(network, problem, plan, given, compiled, phase)


def _try_build_blueprint(build: Callable[[], keras.Model]) -> keras.Model | None:
    try:
        return build_blueprint(build)
    except Exception:  # a custom function that needs values: keep its weights
        return None
