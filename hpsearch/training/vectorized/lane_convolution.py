"""Compute convolutions whose kernel differs between lanes as matrix products.

Under `vmap`, XLA turns them into a grouped convolution, which is several times slower on any
device. A convolution is the sum, over the positions of its kernel, of products with the shifted
image (`benchmarks/population.md` has the figures).
"""

from __future__ import annotations

import itertools
from typing import Any

import jax.numpy as jnp
from keras import layers as k

MAX_PRODUCTS = 49  # largest kernel (positions) that is computed this way


def make_shifted(layer: Any, config: dict[str, Any]) -> Any | None:
    """Return the layer that replaces a convolution; None if Keras's own is kept."""
    kind: Any = {k.Conv1D: ShiftedConv1D, k.Conv2D: ShiftedConv2D}.get(type(layer))
    places = 1
    for n in getattr(layer, "kernel_size", ()):
        places *= n
    plain = getattr(layer, "groups", 0) == 1 and layer.data_format == "channels_last"
    if kind is None or not plain or places > MAX_PRODUCTS or layer.lora_enabled:
        return None
    return kind.from_config(config)


def convolve(inputs: Any, kernel: Any, layer: Any) -> Any:
    """Convolve `inputs`, (n, *size, channels), with a layer's kernel, without its bias.

    Args:
        inputs: Rows.
        kernel: (*kernel_size, channels, filters).
        layer: Gives strides, dilation and padding.
    """
    size, strides, dilation = layer.kernel_size, layer.strides, layer.dilation_rate
    padding = [(0, 0)]
    steps = []
    for n, width, stride, gap in zip(inputs.shape[1:-1], size, strides, dilation, strict=True):
        reach = (width - 1) * gap
        before, after, count = _pad_axis(layer.padding, n, reach, stride)
        padding.append((before, after))
        steps.append(count)
    padded = jnp.pad(inputs, [*padding, (0, 0)])
    total = None
    for place in itertools.product(*map(range, size)):
        taken = [slice(None)]
        for at, stride, gap, count in zip(place, strides, dilation, steps, strict=True):
            first = at * gap
            taken.append(slice(first, first + (count - 1) * stride + 1, stride))
        part = padded[tuple(taken)] @ kernel[place]
        total = part if total is None else total + part
    return total


def _pad_axis(padding: str, n: int, reach: int, stride: int) -> tuple[int, int, int]:
    """Return the padding before and after an axis of `n`, and its number of outputs."""
    if padding == "same":
        count = -(-n // stride)
        total = max(0, (count - 1) * stride + reach + 1 - n)
        return total // 2, total - total // 2, count
    before = reach if padding == "causal" else 0
    return before, 0, (n + before - reach - 1) // stride + 1


class ShiftedConv1D(k.Conv1D):  # type: ignore[misc]  # Keras ships no types
    """Keras's layer, computed as products."""

    def call(self, inputs: Any) -> Any:
        """See `convolve`."""
        return _finish(self, convolve(inputs, self.kernel.value, self))


class ShiftedConv2D(k.Conv2D):  # type: ignore[misc]
    """Keras's layer, computed as products."""

    def call(self, inputs: Any) -> Any:
        """See `convolve`."""
        return _finish(self, convolve(inputs, self.kernel.value, self))


def _finish(layer: Any, outputs: Any) -> Any:
    if layer.bias is not None:
        outputs = outputs + layer.bias.value
    return outputs if layer.activation is None else layer.activation(outputs)
