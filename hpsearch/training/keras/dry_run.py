"""Train one batch before the first trial, to find errors that show only when a network runs.

Runs forward pass, backward pass and evaluation on a few real rows, with the arithmetic of both
trainers; nothing is kept. Needs Keras in the calling process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...errors import SpecError
from ...trial import TrialSpec, Value
from ..losses import load_custom_loss
from ..phases import arrange_phases
from ..problem import Problem
from ..trial_result import why_output_unfit, why_sums_unfit
from .architecture import make_architecture
from .fold_fit import FoldFit
from .own_training import find_own_training
from .shared_model import to_backend_array


def check_custom_loss(reference: str, problem: Problem) -> None:
    """Call a custom loss once.

    Args:
        reference: The function, with an absolute path to its file.
        problem: From `problem.sample_problem`.

    Raises:
        SpecError: If it does not return one number per row.
        Exception: Any exception of the function.
    """
    from keras import ops

    truth = ops.convert_to_tensor(problem.target)
    costs = load_custom_loss(reference)(truth, ops.full(truth.shape, 0.5))
    n = truth.shape[0]
    shape = getattr(costs, "shape", None)
    if shape is None or tuple(shape) not in ((n,), (n, 1)):
        received = f"a {type(costs).__name__}" if shape is None else f"shape {tuple(shape)}"
        raise SpecError(
            f"{reference} must return what each row costs, shape ({n},) for {n} rows of truth and "
            f"prediction. Received: {received}"
        )


def run_one_batch(problem: Problem, params: Mapping[str, Value]) -> None:
    """Build, train and evaluate the network of `params` on a few rows.

    Args:
        problem: From `problem.sample_problem`.
        params: Hyperparameters.

    Raises:
        SpecError: If the outputs do not suit the task.
        Exception: Any exception of custom code.
    """
    trial = TrialSpec(0, params, seed=0, epochs=1)
    resolved = problem.resolve(params)
    own = problem.make_own_builder(resolved, trial.seed)()
    if find_own_training(own, problem):
        phases = arrange_phases(replace(phase, epochs=1) for phase in problem.phases)
        trial = replace(trial, epochs=max(1, len(phases)))
        _run_own_fit(FoldFit(replace(problem, phases=phases), trial, resolved, 0), problem, trial)
        return
    features = to_backend_array(problem.features)
    made = make_architecture(problem, features, resolved, trial.seed)
    made.shared_model.set_state(made.make_fold_state(trial, 0, resolved))
    statistics = problem.get_statistics(resolved)[0]
    rows = problem.folds[0].train
    # Before a training step, after which a wrong network may have infinite outputs.
    seen = made.shared_model.evaluate(statistics, rows)
    _require_fit(problem.task, seen.predictions)
    if not math.isfinite(seen.loss) and np.isfinite(seen.predictions).all():
        raise SpecError(explain_loss(seen.loss))
    for phase in range(max(1, len(problem.phases))):
        if phase:
            made = make_architecture(problem, features, resolved, trial.seed, phase)
        made.shared_model.train_epoch(statistics, rows, len(rows), class_weights=None, rates=None)


def _require_fit(task: str, predictions: np.ndarray) -> None:
    """Refuse predictions that the task cannot have, (n_rows, n_outputs)."""
    if unfit := why_output_unfit(task, [predictions]) or why_sums_unfit(task, predictions):
        raise SpecError(unfit)


def explain_loss(loss: object) -> str:
    """Explain that a network cannot be trained by its loss."""
    return (
        f"the loss of the first rows is {loss}: see that it takes no logarithm or root of 0 or "
        "less, and divides by no 0"
    )


def _run_own_fit(fold: FoldFit, problem: Problem, trial: TrialSpec) -> None:
    """Run an epoch of each phase of the model's own `fit` on a few rows."""
    try:
        for _ in range(trial.epochs):
            loss = fold.train_epoch()
            if loss is not None and math.isnan(loss):
                raise SpecError(explain_loss("nan"))
    finally:
        fold.close()
    assert fold.evaluation is not None
    _require_fit(problem.task, fold.evaluation.predictions)
