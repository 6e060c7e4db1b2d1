"""A Keras loss, row by row, whose arguments are inputs of the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jax.numpy as jnp

from ...compat.keras import loss_arguments
from ...trial import Value
from ..losses import KERAS_ARGUMENT_NAMES, list_loss_params, make_loss
from ..multi_output import iter_output_slices
from .traced_scalar import pack_numbers, unpack_numbers


class TrainingObjective(Protocol):
    """The loss of a trial: `LossObjective`, or the `CompiledObjective` of a compiled model."""

    numbers: Any  # the inputs of the program that hold the loss's arguments
    structure: str  # equal for objectives that compute the same
    link: str | None  # activation applied to outputs to get predictions; None: none

    def __call__(self, numbers: Any, truth: Any, outputs: Any) -> Any:
        """Return the loss of each row, (n,).

        `truth` has shape (n, n_outputs), `outputs` (n, n_members * n_outputs).
        """
        ...


class LossObjective:
    """The loss that the hyperparameters select; a `TrainingObjective`."""

    link: str | None = None

    def __init__(
        self,
        task: str,
        params: Mapping[str, Value],
        widths: Sequence[int] = (),
        n_members: int = 1,
    ) -> None:
        """Make the loss that `params` select.

        Args:
            task: "binary", "multiclass", "multilabel" or "regression".
            params: Hyperparameters.
            widths: Widths of several outputs; their losses are added.
            n_members: Members of the network; the loss is the mean of theirs.
        """
        self._loss = make_loss(task, params)
        name = params.get("loss")
        read = list_loss_params(task, None if name is None else str(name))
        self._names = tuple(KERAS_ARGUMENT_NAMES.get(n, n) for n in read)
        self._fixed = loss_arguments(self._loss)
        # Keras leaves the operation out if the argument is 0.
        self._names = tuple(n for n in self._names if self._fixed.get(n))
        self.numbers = pack_numbers([float(self._fixed[n]) for n in self._names])
        rest = {k: v for k, v in self._fixed.items() if k not in self._names}
        self.widths = tuple(widths)
        self._parts = tuple(iter_output_slices(widths)) or (slice(None),)
        self._n_members = n_members
        kind = type(self._loss).__name__
        self.structure = f"{kind} {rest} {self._names} {tuple(widths)} {n_members}"

    def __call__(self, numbers: Any, truth: Any, outputs: Any) -> Any:
        """See `TrainingObjective`."""
        given = dict(zip(self._names, unpack_numbers(numbers), strict=True))
        arguments = {**self._fixed, **given}
        n_rows = truth.shape[0]
        if self._n_members > 1:
            truth = jnp.repeat(truth, self._n_members, axis=0)
            outputs = outputs.reshape(truth.shape)
        costs = [self._loss.fn(truth[:, p], outputs[:, p], **arguments) for p in self._parts]
        total, *others = [jnp.asarray(cost).reshape(truth.shape[0]) for cost in costs]
        total = sum(others, total)
        return total if self._n_members == 1 else total.reshape(n_rows, -1).mean(axis=1)
