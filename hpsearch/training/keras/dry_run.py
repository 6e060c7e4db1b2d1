"""One batch of a study, before its first trial: what only shows when a network is run.

Forward, backward and evaluation of a few real rows by the arithmetic of both trainers. Nothing of
it is kept. Whoever calls it needs Keras in its process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import SpecError
from ...spec.function_reference import load_function
from ...trial import TrialSpec, Value
from ..problem import Problem
from ..trial_result import why_output_unfit
from .architecture import make_architecture
from .fold_fit import FoldFit
from .own_training import find_own_training
from .shared_model import to_backend_array


def check_custom_loss(reference: str, problem: Problem) -> None:
    """Call a custom loss once.

    Args:
        reference: The function, its file found from anywhere.
        problem: From `problem.sample_problem`.

    Raises:
        SpecError: If it gives something else than one number a row.
        Exception: Whatever it raises.
    """
    from keras import ops

    truth = ops.convert_to_tensor(problem.target)
    costs: Any = load_function(reference)(truth, ops.full(truth.shape, 0.5))
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
        SpecError: If what it answers cannot be what the task needs.
        Exception: Whatever the user's code raises.
    """
    trial = TrialSpec(0, params, seed=0, epochs=1)
    resolved = problem.resolve(params)
    own = problem.make_own_builder(resolved, trial.seed)()
    if find_own_training(own, problem):
        _run_one_epoch(FoldFit(problem, trial, resolved, 0), problem)
        return
    made = make_architecture(problem, to_backend_array(problem.features), resolved, trial.seed)
    made.shared_model.set_state(made.make_fold_state(trial, 0, resolved))
    statistics = problem.get_statistics(resolved)[0]
    rows = problem.folds[0].train
    # Before a step of training, which may leave the numbers of a wrong network without bounds.
    seen = made.shared_model.evaluate(statistics, rows)
    if unfit := why_output_unfit(problem.task, [seen.predictions]):
        raise SpecError(unfit)
    made.shared_model.train_epoch(statistics, rows, len(rows), class_weights=None, rates=None)


def _run_one_epoch(fold: FoldFit, problem: Problem) -> None:
    """An epoch of the model's own `fit` on a few rows."""
    try:
        fold.train_epoch()
    finally:
        fold.close()
    assert fold.evaluation is not None
    if unfit := why_output_unfit(problem.task, [fold.evaluation.predictions]):
        raise SpecError(unfit)
