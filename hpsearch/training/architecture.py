"""From hyperparameters to a `network.Network` that can be begun again for any fold and trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..models import Family
from ..trial import TrialSpec, Value
from .compiled import compiled_loss, is_sparse
from .initial import blueprint, initial_weights
from .losses import accepted, make_loss
from .network import Network, Values
from .optimizers import make_optimizer, optimizer_arguments
from .problem import Problem
from .schedules import learning_rate
from .several_outputs import over_outputs, widths_of

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class Architecture:
    """A compiled network, and where the weights of a new fold come from."""

    network: Network
    plan: keras.Model | None  # a `blueprint`; None: the user's function sets the weights itself
    given: list[np.ndarray]  # the weights that the user's function left
    compiled: bool  # by the user, learning rate included

    def begin(self, trial: TrialSpec, fold: int, params: Mapping[str, Value]) -> Values:
        """One fold of `trial` before its first epoch."""
        weights = self.given
        if self.plan is not None:
            weights = initial_weights(self.plan, trial.fold_seed(fold, "weights"))
        rate = None
        if not self.compiled:
            rate = learning_rate(params)
        return self.network.begin(weights, trial.fold_seed(fold, "dropout"), rate)


def architecture_key(family: Family, task: str, params: Mapping[str, Value], seed: int) -> str:
    """What two trials share that can share an `Architecture`.

    A family of ours is known to depend on what it reads alone. A user's function may depend on
    anything, so its network is shared by trials of equal params and seed only.
    """
    if family.reads is None:
        return repr((sorted(params.items()), seed))
    kind, arguments = optimizer_arguments(params)
    arguments.pop("learning_rate")  # a variable of the optimizer
    loss = str(params["loss"]) if params.get("loss") else None
    read = {"loss": loss, **{k: params.get(k) for k in accepted(task, loss)}}
    network = {k: params.get(k, default) for k, default in family.reads.items()}
    return repr((network, kind, sorted(arguments.items()), read))


def make_architecture(
    problem: Problem, features: Any, params: Mapping[str, Value], seed: int
) -> Architecture:
    """Build and compile the network for `params`.

    Args:
        problem: What it is trained on.
        features: `resident(problem.features)`.
        params: The hyperparameters.
        seed: The trial's.

    Raises:
        TrainingError: If the network's output does not suit the task.
    """

    build = problem.builder(params, seed)
    model = build()
    problem.check_output(model.compute_output_shape(model.input_shape))
    compiled = bool(model.compiled)
    plan = _plan(build)
    given = model.get_weights() if plan is None else []
    if compiled:
        loss = compiled_loss(model)
    else:
        loss = over_outputs(make_loss(problem.task, problem.located(params)), widths_of(model))
    optimizer = model.optimizer if compiled else make_optimizer(params)
    # Metrics of the user's compile would be computed for nothing: ours come from predictions.
    model.compile(optimizer, loss, run_eagerly=model.run_eagerly if compiled else False)
    if is_sparse(loss):
        classes = problem.target.argmax(axis=1)[:, None].astype(np.float32)
        problem = replace(problem, target=classes)
    return Architecture(Network(model, problem, features), plan, given, compiled)


def _plan(build: Callable[[], keras.Model]) -> keras.Model | None:
    try:
        return blueprint(build)
    except Exception:  # a user's function that works with values: then its values are the start
        return None
