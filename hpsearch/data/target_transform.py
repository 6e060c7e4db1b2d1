"""Between a target's own unit and what a network learns of it: transformed, then standardised.

Written once for numpy, JAX and Keras, like `statistics.scale_features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

INVERSE_FUNCTIONS = {"log": "exp", "log1p": "expm1"}  # a transform and what takes it back


def transform_target(
    xp: Any, target: Any, center: Any, scale: Any, transforms: Sequence[str]
) -> Any:
    """`(transform(target) - center) / scale`.

    Args:
        xp: Whose functions are called: numpy, jax.numpy or keras.ops.
        target: (n, n_outputs) in its own unit.
        center: (n_outputs,), of the transformed target.
        scale: (n_outputs,), of the transformed target.
        transforms: One an output, "" where there is none; empty: no output has one.
    """
    return xp.divide(xp.subtract(apply_target_transforms(xp, target, transforms), center), scale)


def inverse_transform_target(
    xp: Any, output: Any, center: Any, scale: Any, transforms: Sequence[str]
) -> Any:
    """The inverse of `transform_target`: back to the target's unit."""
    told = xp.add(xp.multiply(output, scale), center)
    return _apply_to_columns(xp, told, [INVERSE_FUNCTIONS.get(name, "") for name in transforms])


def apply_target_transforms(xp: Any, target: Any, transforms: Sequence[str]) -> Any:
    """The target of shape (n, n_outputs) before it is standardised."""
    return _apply_to_columns(xp, target, transforms)


def _apply_to_columns(xp: Any, table: Any, names: Sequence[str]) -> Any:
    """Each column behind the function that is named for it."""
    if not any(names):
        return table
    columns = [
        getattr(xp, name)(table[:, k]) if name else table[:, k] for k, name in enumerate(names)
    ]
    return xp.stack(columns, axis=1)
