"""Keras layers for use in a lane: strengths are inputs, and padded rows are ignored.

Dropout bits come from a counter-based integer hash (the finalizer of H. Prospector's
`lowbias32`), because drawing them with Threefry takes about half of a step.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import layers as k

from ..counter_random import hash_bits

_active = threading.local()


class Masks(NamedTuple):
    """Arrays that layers select values with, computed before the program runs."""

    limits: Any  # (n_strengths,) uint32: units with 16 random bits below it are dropped
    gains: Any  # (n_strengths,) float32: factor of the kept values
    whole: Any  # (n_rows * widest layer,) bool, all True; see `CpuDense`


def make_lane_masks(rates: Any) -> Masks:
    """Make the masks inside a program; for layers other than `CpuDense`."""
    share = jnp.clip(rates, 0, 1)  # some strengths are not rates
    limits = jnp.round(share * 65536).astype(jnp.uint32)
    return Masks(limits, 1 / (1 - jnp.where(rates < 1, rates, 0)), None)


def make_masks(rates: np.ndarray, n_whole: int) -> Masks:
    """Make the masks for dropout `rates`; those of `CpuDense` layers have `n_whole` values."""
    with np.errstate(divide="ignore", invalid="ignore"):  # some strengths are not rates
        limits, gains = np.round(rates * 65536).astype(np.uint32), np.float32(1) / (1 - rates)
    return Masks(limits, gains, np.ones(n_whole, bool))


@dataclass(frozen=True, slots=True)
class TracedStep:
    """The training step that is being traced, as layers see it."""

    strengths: Any  # (n_strengths,) float32
    masks: Masks
    key: Any  # uint32, different in every step of every lane
    valid: Any  # (batch_size,) bool: which rows are real


@contextmanager
def tracing(step: TracedStep | None, valid: Any) -> Iterator[None]:
    """Show a step (None: inference) and the mask of real rows to the layers called inside."""
    _active.step, _active.valid = step, valid
    try:
        yield
    finally:
        _active.step = _active.valid = None


def uniform_bits(shape: tuple[int, ...], key: Any, stream: int) -> Any:
    """Draw random uint32 of `shape`; streams of one key are independent.

    Counting by columns makes a unit's bits independent of the layer's padding.
    """
    start = hash_bits(key ^ jnp.uint32((stream * 0x9E3779B9) & 0xFFFFFFFF))
    rows = math.prod(shape[:-1])
    golden, stride = jnp.uint32(0x9E3779B9), jnp.uint32((rows * 0x9E3779B9) & 0xFFFFFFFF)
    down = jax.lax.iota(jnp.uint32, rows) * golden
    across = jax.lax.iota(jnp.uint32, shape[-1]) * stride + start
    return hash_bits(down[:, None] + across[None, :]).reshape(shape)


def random_mask(shape: tuple[int, ...], limit: Any, key: Any, stream: int) -> Any:
    """Draw a mask that is False with a probability of `limit` / 65536.

    Each hashed word gives two values. The mask is stored for the gradient, which would otherwise
    hash again.
    """
    half = -(-shape[0] // 2)
    words = uniform_bits((half, *shape[1:]), key, stream)
    low, high = (words & jnp.uint32(0xFFFF)) >= limit, (words >> 16) >= limit
    parts = [jax.lax.optimization_barrier(part) for part in (low, high)]
    return jnp.concatenate(parts)[: shape[0]]


def normal_draws(shape: tuple[int, ...], key: Any, stream: int) -> Any:
    """Draw standard normal numbers by the Box-Muller transform."""
    u = (uniform_bits(shape, key, stream) >> 8).astype(jnp.float32)
    v = (uniform_bits(shape, key, stream + 0x10000) >> 8).astype(jnp.float32)
    scale = jnp.float32(1 / (1 << 24))
    return jnp.sqrt(-2 * jnp.log((u + 1) * scale)) * jnp.cos(2 * jnp.pi * v * scale)


class Noise(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Dropout, or another noise layer, whose strength is an input of the program."""

    def __init__(self, kind: type, slot: int, noise_shape: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.slot = slot  # index of the strength; also the stream of random bits
        self.noise_shape = noise_shape
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Add noise in training; return the inputs unchanged in inference."""
        step: TracedStep | None = getattr(_active, "step", None)
        if not training or step is None:
            return inputs
        strength = step.strengths[self.slot]
        if self.kind is k.GaussianNoise:
            return inputs + strength * normal_draws(inputs.shape, step.key, self.slot)
        if self.kind is k.GaussianDropout:
            deviation = jnp.sqrt(strength / (1 - strength))
            return inputs * (1 + deviation * normal_draws(inputs.shape, step.key, self.slot))
        limit = step.masks.limits[self.slot]
        mask = random_mask(self._mask_shape(inputs.shape), limit, step.key, self.slot)
        if self.kind is k.AlphaDropout:
            return _alpha_dropout(inputs, mask, strength)
        return jnp.where(mask, inputs * step.masks.gains[self.slot], 0)

    def compute_output_spec(self, inputs: Any, training: bool = False) -> Any:
        """Return the shape and dtype of the inputs."""
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return values that are equal for layers that compute the same."""
        own = {"kind": self.kind.__name__, "slot": self.slot, "noise_shape": self.noise_shape}
        return {**super().get_config(), **own}

    def _mask_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.kind in (k.SpatialDropout1D, k.SpatialDropout2D, k.SpatialDropout3D):
            return (shape[0], *(1 for _ in shape[1:-1]), shape[-1])
        if self.noise_shape is None:
            return shape
        return tuple(n if s is None else s for n, s in zip(shape, self.noise_shape, strict=True))


def _alpha_dropout(inputs: Any, mask: Any, rate: Any) -> Any:
    """Compute `keras.layers.AlphaDropout`, which keeps mean and variance."""
    low = -1.6732632423543772848170429916717 * 1.0507009873554804934193349852946
    a = ((1 - rate) * (1 + rate * low**2)) ** -0.5
    return a * jnp.where(mask, inputs, low) - a * low * rate


class MaskedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalization whose statistics ignore the rows that pad a short batch."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize as Keras does; in training, padded rows are masked."""
        step: TracedStep | None = getattr(_active, "step", None)
        if training and step is not None:
            rows = step.valid.reshape(-1, *(1 for _ in inputs.shape[1:-1]))
            rows = jnp.broadcast_to(rows, inputs.shape[:-1])
            mask = rows if mask is None else rows & mask
        return super().call(inputs, training=training, mask=mask)


class MaskedActivity(keras.regularizers.Regularizer):  # type: ignore[misc]
    """An L1 or L2 regularizer of a layer's outputs that ignores padded rows."""

    def __init__(self, own: Any) -> None:
        self.own = own

    def __call__(self, outputs: Any) -> Any:
        """Return the penalty, scaled so that Keras's mean over all rows is one over real rows."""
        valid = getattr(_active, "valid", None)
        if valid is None:
            return self.own(outputs)
        rows = valid.reshape(-1, *(1 for _ in outputs.shape[1:]))
        share = valid.shape[0] / jnp.maximum(jnp.sum(valid), 1)
        return self.own(jnp.where(rows, outputs, 0)) * share


@jax.custom_vjp  # type: ignore[untyped-decorator]
def cpu_matmul(inputs: Any, kernel: Any) -> Any:
    """Compute `inputs @ kernel` with a gradient that is fast on CPUs.

    The kernel's gradient multiplies by the transposed inputs; XLA is faster if these are copied
    first.
    """
    return inputs @ kernel


def _cpu_matmul_forward(inputs: Any, kernel: Any) -> tuple[Any, tuple[Any, Any]]:
    return inputs @ kernel, (inputs, kernel)


def _cpu_matmul_backward(kept: tuple[Any, Any], gradient: Any) -> tuple[Any, Any]:
    inputs, kernel = kept
    to_inputs = jax.lax.dot_general(gradient, kernel, (((1,), (1,)), ((), ())))
    whole = jax.lax.optimization_barrier(inputs)  # prevents a second computation by columns
    return to_inputs, jax.lax.optimization_barrier(whole.T) @ gradient


cpu_matmul.defvjp(_cpu_matmul_forward, _cpu_matmul_backward)


class CpuDense(keras.layers.Dense):  # type: ignore[misc]
    """Keras's dense layer with `cpu_matmul`.

    In training, its inputs pass through a mask that keeps all of them. XLA does not fuse across a
    data-dependent select; it would otherwise compute a cheap activation a second time while it
    copies the transpose.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Compute the outputs as Keras does."""
        if inputs.ndim != 2:
            return super().call(inputs, training=training)
        step: TracedStep | None = getattr(_active, "step", None)
        if step is not None:
            mask = step.masks.whole[: inputs.size].reshape(inputs.shape)
            inputs = jnp.where(mask, inputs, 0)
        outputs = cpu_matmul(inputs, self.kernel.value)
        if self.bias is not None:
            outputs = outputs + self.bias.value
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the output's shape without tracing."""
        return keras.KerasTensor((*inputs.shape[:-1], self.units), dtype=self.compute_dtype)


# layer -> the attribute that holds its strength
NOISE_LAYERS: dict[type, str] = {
    k.Dropout: "rate",
    k.SpatialDropout1D: "rate",
    k.SpatialDropout2D: "rate",
    k.SpatialDropout3D: "rate",
    k.GaussianDropout: "rate",
    k.GaussianNoise: "stddev",
    k.AlphaDropout: "rate",
}
