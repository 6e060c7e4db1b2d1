"""Map a target to the values that a network learns (transformed, then standardized), and back.

Works with numpy, JAX and Keras alike, as `statistics.scale_features` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

INVERSE_FUNCTIONS = {"log": "exp", "log1p": "expm1"}  # a transform and its inverse


def transform_target(
    xp: Any, target: Any, center: Any, scale: Any, transforms: Sequence[str]
) -> Any:
    """Compute `(transform(target) - center) / scale`.

    Args:
        xp: The array module: numpy, jax.numpy or keras.ops.
        target: (n, n_outputs) in its original unit.
        center: (n_outputs,), center of the transformed target.
        scale: (n_outputs,), scale of the transformed target.
        transforms: One per output, "" for none; empty: no output has one.
    """
    return xp.divide(xp.subtract(apply_target_transforms(xp, target, transforms), center), scale)


def inverse_transform_target(
    xp: Any, output: Any, center: Any, scale: Any, transforms: Sequence[str]
) -> Any:
    """Invert `transform_target`: back to the target's unit."""
    unscaled = xp.add(xp.multiply(output, scale), center)
    return _apply_to_columns(xp, unscaled, [INVERSE_FUNCTIONS.get(name, "") for name in transforms])


def apply_target_transforms(xp: Any, target: Any, transforms: Sequence[str]) -> Any:
    """Transform a target of shape (n, n_outputs) without standardizing it."""
    return _apply_to_columns(xp, target, transforms)


def _apply_to_columns(xp: Any, table: Any, names: Sequence[str]) -> Any:
    """Apply to each column the function with its name."""
    if not any(names):
        return table
    columns = [
        getattr(xp, name)(table[:, k]) if name else table[:, k] for k, name in enumerate(names)
    ]
    return xp.stack(columns, axis=1)
