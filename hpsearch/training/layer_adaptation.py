"""Adapt preprocessing layers of a custom model to the training rows of a fold.

A Keras user calls `layer.adapt(x_train)` before `fit`; here each fold has other training rows. A
`Normalization` keeps its statistics in weights, so they are part of a fold's initial weights, under
both trainers. A `Discretization` keeps them in its config, so each fold needs a model of its own,
which Keras's `fit` trains.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..compat.keras import flat_layers, observe_calls
from ..models.introspection.model_facts import is_unadapted

if TYPE_CHECKING:
    import keras

CHUNK_ROWS = 1024  # rows that are sent through a network at once

Batches = Callable[[], Iterator[Any]]  # the inputs of a network, some rows at a time
_thread = threading.local()  # `probe`: the running `_Probe` of this thread


class _ReachedError(BaseException):
    """Ends a call of the network behind the observed layer; no `except Exception` catches it."""


@dataclass(slots=True)
class _Probe:
    """Collects the inputs of the first of some layers that a network calls."""

    layers: Sequence[Any]
    first: Any = None  # the layer
    collect: Callable[[Any, np.ndarray], None] = field(default=lambda layer, inputs: None)

    def observe(self, layer: Any, inputs: Any) -> None:
        from keras import ops

        if not any(layer is waiting for waiting in self.layers):
            return
        self.first = layer
        self.collect(layer, np.asarray(ops.convert_to_numpy(inputs)))
        raise _ReachedError


def prepare_adaptation() -> None:
    """Let the layers be adapted that are called from now on."""
    observe_calls(_observe)


def _observe(layer: Any, inputs: Any) -> None:
    probe = getattr(_thread, "probe", None)
    if probe is not None:
        probe.observe(layer, inputs)


def find_refitted_layer(model: keras.Model) -> str | None:
    """Explain why each fold needs a model of its own; None if it does not."""
    import keras

    layers = [x for x in flat_layers(model) if isinstance(x, keras.layers.Discretization)]
    unadapted = next((layer.name for layer in layers if is_unadapted(layer)), None)
    if unadapted is None:
        return None
    return f"Discretization {unadapted!r} is adapted to the training rows of each fold"


def has_unadapted_weights(model: keras.Model) -> bool:
    """Whether initial weights depend on the training rows: a `Normalization` is not adapted."""
    return bool(_find_normalizations(model))


def adapt_weights(
    model: keras.Model, weights: Sequence[np.ndarray], batches: Batches
) -> list[np.ndarray]:
    """Return initial weights in which each unadapted `Normalization` has the rows' statistics.

    Args:
        model: The network, which may be a blueprint.
        weights: Its weights, in the order of `keras.Model.get_weights`.
        batches: The training rows. They are read once for each layer, since the inputs of a layer
            may depend on the statistics of another.
    """
    adapted, waiting = list(weights), _find_normalizations(model)
    index = {id(variable): k for k, variable in enumerate(model.weights)}
    while waiting:
        moments = _Moments()
        layer = _run_until_layer(model, adapted, waiting, batches(), moments.add)
        if layer is None:  # the network does not call them
            break
        measured = (layer.adapt_mean, moments.mean), (layer.adapt_variance, moments.variance)
        for variable, value in measured:
            k = index[id(variable)]
            adapted[k] = np.asarray(value, adapted[k].dtype).reshape(adapted[k].shape)
        waiting = [other for other in waiting if other is not layer]
    return adapted


def adapt_layers(model: keras.Model, batches: Batches) -> None:
    """Adapt the unadapted layers of a model by their own `adapt`; `batches`: as above."""
    waiting = [layer for layer in flat_layers(model) if is_unadapted(layer)]
    while waiting:
        inputs: list[np.ndarray] = []

        def collect(layer: Any, rows: np.ndarray, inputs: list[np.ndarray] = inputs) -> None:
            inputs.append(rows)

        layer = _run_until_layer(model, model.get_weights(), waiting, batches(), collect)
        if layer is None:
            break
        layer.adapt(np.concatenate(inputs))
        waiting = [other for other in waiting if other is not layer]


def _find_normalizations(model: keras.Model) -> list[Any]:
    import keras

    layers = [x for x in flat_layers(model) if isinstance(x, keras.layers.Normalization)]
    return [layer for layer in layers if is_unadapted(layer)]


class _Moments:
    """Mean and variance over batches, by Chan's formula in float64."""

    def __init__(self) -> None:
        self.n = 0
        self.mean: Any = 0.0
        self._squares: Any = 0.0

    def add(self, layer: Any, rows: np.ndarray) -> None:
        """Add the inputs of a layer, (n, …); all axes but the layer's are reduced."""
        rows = rows.astype(np.float64)
        kept = {axis % rows.ndim for axis in layer.axis}
        reduced = tuple(axis for axis in range(rows.ndim) if axis not in kept)
        n = int(np.prod([rows.shape[axis] for axis in reduced]))
        mean = rows.mean(axis=reduced)
        difference = mean - self.mean
        total = self.n + n
        self._squares = (
            self._squares + rows.var(axis=reduced) * n + difference**2 * (self.n * n / total)
        )
        self.mean = self.mean + difference * (n / total)
        self.n = total

    @property
    def variance(self) -> Any:
        """The variance of all rows, as `Normalization.adapt` computes it."""
        return self._squares / self.n


def _run_until_layer(
    model: keras.Model,
    weights: Sequence[np.ndarray],
    layers: Sequence[Any],
    batches: Iterator[Any],
    collect: Callable[[Any, np.ndarray], None],
) -> Any:
    """Call a network with each batch, up to the first of some layers; return that layer."""
    import keras
    from keras import ops

    known = {id(variable) for variable in model.weights}
    mapping = [(v, ops.convert_to_tensor(w)) for v, w in zip(model.weights, weights, strict=True)]
    mapping += [(v, ops.zeros(v.shape, v.dtype)) for v in model.variables if id(v) not in known]
    probe = _thread.probe = _Probe(layers, collect=collect)
    try:
        for batch in batches:
            try:
                with keras.StatelessScope(mapping, initialize_variables=False):
                    model(batch, training=False)
            except _ReachedError:
                continue
    finally:
        _thread.probe = None
    return probe.first
