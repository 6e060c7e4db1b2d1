"""Numeric hyperparameters as inputs of a compiled program instead of constants.

Keras's optimizers and losses hold them as Python floats and test them (`if self.momentum > 0`),
which a traced value does not allow. A `TracedScalar` answers such tests like a number greater than
zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class TracedScalar:
    """A traced number that replaces a Python float greater than zero.

    It carries its complement `1 - number`, which Keras computes in double precision; a difference
    of float32 would not be equal.
    """

    __array_priority__ = 1000

    def __init__(self, value: Any, complement: Any) -> None:
        self.value = value
        self.complement = complement

    def __jax_array__(self) -> Any:
        return self.value

    def __bool__(self) -> bool:
        return True

    def __gt__(self, other: float) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def __neg__(self) -> Any:
        return -self.value

    def __add__(self, other: Any) -> Any:
        return self.value + other

    __radd__ = __add__

    def __mul__(self, other: Any) -> Any:
        return self.value * other

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> Any:
        return -self.complement if _is_one(other) else self.value - other

    def __rsub__(self, other: Any) -> Any:
        return self.complement if _is_one(other) else other - self.value

    def __truediv__(self, other: Any) -> Any:
        return self.value / other

    def __rtruediv__(self, other: Any) -> Any:
        return other / self.value


def _is_one(other: Any) -> bool:
    return isinstance(other, int | float) and other == 1


def pack_numbers(numbers: Sequence[float]) -> np.ndarray:
    """Pack numbers and their complements for a program, (2 * n,) float32."""
    wide = np.asarray(numbers, np.float64).reshape(-1)
    return np.concatenate([wide, 1 - wide]).astype(np.float32)


def unpack_numbers(vector: Any) -> Iterator[TracedScalar]:
    """Unpack the result of `pack_numbers` as traced numbers."""
    n = vector.shape[0] // 2
    return (TracedScalar(vector[i], vector[n + i]) for i in range(n))
