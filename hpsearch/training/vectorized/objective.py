"""A Keras loss, row by row, with its arguments as inputs of the program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from ...trial import Value
from ..losses import accepted, make_loss
from .number import packed, unpacked


class Objective:
    """What a trial minimises."""

    def __init__(self, task: str, params: Mapping[str, Value]) -> None:
        """Make the loss that `params` name."""
        self._loss = make_loss(task, params)
        name = params.get("loss")
        self._names = accepted(task, None if name is None else str(name))
        self._fixed = dict(self._loss._fn_kwargs)
        # Without a number Keras leaves the operation out, and so do we where there is none.
        self._names = tuple(n for n in self._names if self._fixed.get(n))
        self.numbers = packed([float(self._fixed[n]) for n in self._names])
        rest = {k: v for k, v in self._fixed.items() if k not in self._names}
        self.structure = f"{type(self._loss).__name__} {rest} {self._names}"

    def __call__(self, numbers: Any, truth: Any, outputs: Any) -> Any:
        """The loss of each row, shape (n,); for `truth` and `outputs` of (n, n_outputs)."""
        given = dict(zip(self._names, unpacked(numbers), strict=True))
        per_row = self._loss.fn(truth, outputs, **{**self._fixed, **given})
        return jnp.asarray(per_row).reshape(truth.shape[0])
