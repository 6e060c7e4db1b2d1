"""Building blocks shared by several families."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def make_regularizer(p: Mapping[str, Any]) -> keras.regularizers.Regularizer | None:
    """Make a kernel regularizer from `l1` and `l2`; None if both are 0."""
    import keras

    return keras.regularizers.L1L2(l1=p["l1"], l2=p["l2"]) if p["l1"] or p["l2"] else None


def apply_normalization(x: Any, p: Mapping[str, Any], name: str) -> Any:
    """Apply the layer `normalization_NAME` of the kind `normalization` to `x`."""
    from keras import layers as k

    if p["normalization"] == "batch":
        return k.BatchNormalization(name=f"normalization_{name}")(x)
    if p["normalization"] == "layer":
        return k.LayerNormalization(name=f"normalization_{name}")(x)
    return x
