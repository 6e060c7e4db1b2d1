"""One batch of a study, before its first trial: what only shows when a network is run.

Forward, backward and evaluation of a few real rows by the arithmetic of both trainers. Nothing of
it is kept. Whoever calls it needs Keras in its process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import SpecError
from ..spec.reference import load_function
from ..trial import TrialSpec, Value
from .architecture import make_architecture
from .network import resident
from .outcome import unfit_output
from .problem import Problem


def check_loss(reference: str, problem: Problem) -> None:
    """Call a loss of the user's own once.

    Args:
        reference: The function, its file found from anywhere.
        problem: From `problem.sample_of`.

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


def run_batch(problem: Problem, params: Mapping[str, Value]) -> None:
    """Build, train and evaluate the network of `params` on a few rows.

    Args:
        problem: From `problem.sample_of`.
        params: Hyperparameters.

    Raises:
        SpecError: If what it answers cannot be what the task needs.
        Exception: Whatever the user's code raises.
    """
    trial = TrialSpec(0, params, seed=0, epochs=1)
    resolved = problem.resolve(params)
    made = make_architecture(problem, resident(problem.features), resolved, trial.seed)
    made.network.load(made.begin(trial, 0, resolved))
    statistics = problem.statistics_of(resolved)[0]
    rows = problem.folds[0].train
    # Before a step of training, which may leave the numbers of a wrong network without bounds.
    seen = made.network.evaluate(statistics, rows)
    if unfit := unfit_output(problem.task, [seen.predictions]):
        raise SpecError(unfit)
    made.network.train_epoch(statistics, rows, len(rows), class_weights=None, rates=None)
