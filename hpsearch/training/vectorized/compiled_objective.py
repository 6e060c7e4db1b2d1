"""The loss of a compiled model, row by row, as part of a program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...compat.keras import loss_arguments
from ...errors import UnsuitableError, first_line
from ...trial import Value
from ..compiled_model import get_link_activation, takes_class_indices, takes_logits
from ..problem import Problem
from .traced_scalar import pack_numbers


class CompiledObjective:
    """The loss of a compiled model, with constant arguments; a `TrainingObjective`."""

    def __init__(self, loss: Any, problem: Problem, params: Mapping[str, Value]) -> None:
        """Wrap a loss.

        Args:
            loss: From `get_compiled_loss`.
            problem: The problem of the trial.
            params: Hyperparameters that a custom loss may read.

        Raises:
            UnsuitableError: If the loss is not computed row by row.
        """
        self._loss = loss
        self._is_sparse = takes_class_indices(loss)
        self.link = get_link_activation(problem.task) if takes_logits(loss) else None
        self.numbers = pack_numbers([])
        self.structure = _loss_structure(loss, params)
        self._check(problem)

    def __call__(self, numbers: Any, truth: Any, outputs: Any) -> Any:
        """See `TrainingObjective`."""
        if self._is_sparse:
            truth = jnp.argmax(truth, axis=-1)
        per_row = self._loss.call(truth, outputs)
        return jnp.mean(per_row.reshape(outputs.shape[0], -1), axis=-1)

    def _check(self, problem: Problem) -> None:
        """Refuse a loss that is not computed row by row."""
        n = 7
        rows = jax.ShapeDtypeStruct((n, problem.n_outputs), np.float32)
        try:
            jax.eval_shape(self, self.numbers, rows, rows)
        except Exception as error:
            raise UnsuitableError(
                f"the compiled loss gives no number for each row in JAX ({first_line(error)}): "
                "use trainer: keras_fit"
            ) from error


def _loss_structure(loss: Any, params: Mapping[str, Value]) -> str:
    """Return a text that is equal for losses that compute the same."""
    function = getattr(loss, "fn", None)
    if type(loss).__module__.startswith("keras.") and (
        function is None or function.__module__.startswith("keras.")
    ):
        arguments = sorted(loss_arguments(loss).items())
        return f"compiled {type(loss).__name__} {getattr(function, '__name__', '')} {arguments}"
    return f"compiled {sorted(params.items())!r}"
