"""A Keras model as a pure function of one vector of weights; its strengths are inputs.

A functional or sequential model is cloned, and noise layers, batch normalization and the widths of
hidden layers are replaced (`layers`, `padding`). Any other model is called unchanged, and its
hyperparameters are constants of the program.
"""

from __future__ import annotations

import copy
import json
import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from ...compat.keras import (
    flat_layers,
    holds_own_function,
    is_functional,
    restore_functions,
    without_values,
)
from ...errors import TrainingError
from ...trial import Value, derive_seed
from . import session
from .lane_convolution import ShiftedConv1D, ShiftedConv2D, make_shifted
from .layers import (
    NOISE_LAYERS,
    CpuDense,
    MaskedActivity,
    MaskedBatchNormalization,
    Noise,
    TracedStep,
    tracing,
)
from .padding import LEVELS, has_no_side_effects, hidden_blocks, padded_widths
from .update import flatten_arrays

Arrays = list[Any]


@dataclass(frozen=True, slots=True)
class WeightPenalty:
    """An L1 and L2 regularizer of a trainable variable: the indices of its strengths."""

    variable: int  # among the trainable variables
    l1: int  # among the strengths
    l2: int


class LaneNetwork:
    """One trial's network: its initial weights and the function of its program."""

    def __init__(
        self,
        plan: keras.Model,
        params: Mapping[str, Value],
        *,
        pad: bool,
        batched: bool = False,
        shares_depth: bool = False,
    ) -> None:
        """Build the network of `plan`.

        Args:
            plan: The `blueprint` of the model.
            params: Hyperparameters; constants of the program if the model cannot be cloned.
            pad: Whether hidden layers may be padded to wider ones.
            batched: Whether the lanes of a program are one batch, rather than threads.
            shares_depth: Whether lanes of a chain of dense layers may skip hidden layers.

        Raises:
            TrainingError: If the model cannot be vectorised.
        """
        self.plan = plan
        strengths: list[float] = []
        widths = padded_widths(self.plan) if pad else {}
        dense = CpuDense if session.is_on_cpu() and not batched else None
        self.model = _make_twin(self.plan, widths, strengths, dense, batched=batched)
        cloned = self.model is not self.plan
        self._penalties = _find_penalties(self.plan, strengths) if cloned else []
        self.strengths = np.asarray(strengths, np.float32)
        self.shapes: Sequence[tuple[int, ...]]  # of the weights of the original model
        self.shapes = [tuple(v.shape) for v in self.plan.weights]
        self.structure = _model_structure(self.model) if cloned else ""
        if not cloned or not all(map(_is_described_by_config, flat_layers(self.model))):
            self.structure += repr(sorted(params.items()))
        self.is_padded = bool(widths)
        self.blocks = hidden_blocks(self.model) if shares_depth and widths else None
        self.structure += " in depth" if shares_depth else ""
        _mask_activities(self.model)
        self._places = {id(v): i for i, v in enumerate(self.model.weights)}
        self._tracing = threading.Lock()  # recurrent cells keep state between calls
        wrong = {v.dtype for v in self.model.trainable_variables} - {"float32"}
        if wrong:
            raise TrainingError(f"the model holds {', '.join(sorted(wrong))} weights, not float32")

    def for_trial(
        self, strengths: Sequence[float], shapes: Sequence[tuple[int, ...]]
    ) -> LaneNetwork:
        """Return the network of a trial with other strengths and narrower layers."""
        own = copy.copy(self)
        own.strengths, own.shapes = np.asarray(strengths, np.float32), shapes
        return own

    @property
    def n_parameters(self) -> int:
        """Number of weights of the original model."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def trainable(self) -> list[Any]:
        """The clone's trainable variables."""
        trainable: list[Any] = self.model.trainable_variables
        return trainable

    @property
    def size(self) -> int:
        """Length of the vector of weights."""
        return sum(int(np.prod(v.shape)) for v in self.trainable)

    @property
    def max_dense_inputs(self) -> int:
        """Largest number of inputs of a `CpuDense` layer."""
        layers = flat_layers(self.model)
        return max((x.kernel.shape[0] for x in layers if isinstance(x, CpuDense)), default=0)

    def initial_weights(
        self, drawn: Sequence[np.ndarray], dropout_seed: int
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the vector of trainable weights, and the values of the other variables.

        Args:
            drawn: The initial weights, in the order of `keras.Model.get_weights`.
            dropout_seed: `TrialSpec.fold_seed(fold, "dropout")`.
        """
        vector = np.concatenate(
            [_pad_to_shape(drawn[self._places[id(v)]], v.shape).ravel() for v in self.trainable]
            or [np.zeros(0, np.float32)]
        )
        others = [
            _pad_to_shape(drawn[self._places[id(v)]], v.shape)
            if id(v) in self._places
            else np.asarray([derive_seed(dropout_seed, place), 0], v.dtype)
            for place, v in enumerate(self.model.non_trainable_variables)
        ]
        return vector, others

    def weights(self, vector: np.ndarray, others: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the weights in the order of `keras.Model.get_weights` of the original model."""
        values = dict(zip(map(id, self.trainable), self.split(np.asarray(vector)), strict=True))
        values |= dict(zip(map(id, self.model.non_trainable_variables), others, strict=True))
        return [
            np.array(values[id(twin)])[tuple(slice(n) for n in shape)]
            for twin, shape in zip(self.model.weights, self.shapes, strict=True)
        ]

    def spread(self, factors: Any) -> Any:
        """Repeat a factor of each trainable variable for each weight, (n_weights,)."""
        sizes = [int(np.prod(v.shape)) for v in self.trainable]
        return flatten_arrays([jnp.broadcast_to(factors[i], n) for i, n in enumerate(sizes)])

    def split(self, vector: Any) -> Arrays:
        """Split the vector of weights into the trainable variables' values."""
        parts, start = [], 0
        for variable in self.trainable:
            n = int(np.prod(variable.shape))
            parts.append(vector[start : start + n].reshape(variable.shape))
            start += n
        return parts

    def __call__(
        self,
        values: Arrays,
        others: Arrays,
        inputs: Any,
        step: TracedStep | None,
        valid: Any,
        depth: Any = None,
    ) -> tuple[Any, Arrays, Any]:
        """Return the outputs, the other variables' new values, and the layers' penalties.

        Args:
            values: Values of the trainable variables.
            others: Values of the non-trainable ones.
            inputs: (n, n_features).
            step: The training step; None: inference.
            valid: (n,) bool, False for padded rows.
            depth: Number of hidden layers of the lane; None: all.
        """
        model = self.model
        mapping = [
            *zip(model.trainable_variables, values, strict=True),
            *zip(model.non_trainable_variables, others, strict=True),
        ]
        scope = keras.StatelessScope(mapping, collect_losses=True, initialize_variables=False)
        with self._tracing, scope, tracing(step, valid):
            if self.blocks is None or depth is None:
                outputs = model(inputs, training=step is not None)
            else:
                outputs = _apply_blocks(self.blocks, inputs, depth, training=step is not None)
        after = [scope.get_current_value(v) for v in model.non_trainable_variables]
        return outputs, after, sum(scope.losses, jnp.float32(0))

    def penalty(self, values: Arrays, strengths: Any) -> Any:
        """Return the regularization term of the loss."""
        total = jnp.float32(0)
        known = {p.variable for p in self._penalties}
        for p in self._penalties:
            w = values[p.variable]
            # The derivative of abs at 0 is 1 in JAX; TensorFlow and padded weights need 0.
            total += strengths[p.l1] * jnp.sum(w * jax.lax.stop_gradient(jnp.sign(w)))
            total += strengths[p.l2] * jnp.sum(jnp.square(w))
        for place, variable in enumerate(self.trainable):
            if place not in known and variable.regularizer is not None:
                total += variable.regularizer(values[place])
        return total


def _apply_blocks(
    blocks: Sequence[Sequence[Any]], inputs: Any, depth: Any, *, training: bool
) -> Any:
    """Apply a chain, skipping the hidden blocks from `depth` on."""
    seen = inputs
    before, *hidden, last = blocks
    for layer in before:
        seen = layer(seen, training=training)
    for index, block in enumerate(hidden):
        given = seen
        for layer in block:
            seen = layer(seen, training=training)
        if index:  # a chain has at least one hidden layer
            seen = jnp.where(index < depth, seen, given)
    for layer in last:
        seen = layer(seen, training=training)
    return seen


def _pad_to_shape(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if value.shape == shape:  # a scalar is not padded
        return value
    return np.pad(value, [(0, wide - own) for wide, own in zip(shape, value.shape, strict=True)])


def _find_penalties(model: keras.Model, strengths: list[float]) -> list[WeightPenalty]:
    """Find the L1 and L2 regularizers, and append their strengths to `strengths`."""
    found = []
    for place, variable in enumerate(model.trainable_variables):
        if type(variable.regularizer) in LEVELS:
            start = len(strengths)
            strengths += [float(getattr(variable.regularizer, x, 0.0)) for x in ("l1", "l2")]
            found.append(WeightPenalty(place, start, start + 1))
    return found


def _make_twin(
    model: keras.Model,
    widths: Mapping[str, int],
    strengths: list[float],
    dense: Any,
    *,
    batched: bool,
) -> keras.Model:
    """Clone a functional or sequential model with replaced layers; return other models unchanged.

    `dense` replaces dense layers; None: Keras's own. `batched`: as in `LaneNetwork`.
    """
    if not (is_functional(model) or isinstance(model, keras.Sequential)):
        return model

    def replaced(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Layer):  # an operation of `keras.ops`
            return layer
        if type(layer) in NOISE_LAYERS:
            slot = len(strengths)
            strengths.append(float(getattr(layer, NOISE_LAYERS[type(layer)])))
            shape = getattr(layer, "noise_shape", None)
            return Noise(type(layer), slot, shape, name=layer.name, dtype=layer.dtype_policy)
        try:
            config = restore_functions(layer, _structural_config(layer.get_config()))
            if layer.name in widths:
                config["units"] = widths[layer.name]
            if type(layer) is keras.layers.Dense and dense and has_no_side_effects(layer):
                return dense.from_config(config)
            if batched and (shifted := make_shifted(layer, config)) is not None:
                return shifted
            if type(layer) is keras.layers.BatchNormalization:
                return MaskedBatchNormalization.from_config(config)
            return type(layer).from_config(config)
        except Exception:  # a lambda, or a custom layer without a config: kept
            return layer

    with without_values():
        return keras.models.clone_model(model, clone_function=replaced, recursive=True)


def _mask_activities(model: keras.Model) -> None:
    """Make activity regularizers ignore the padded rows of a batch."""
    for layer in flat_layers(model):
        own = getattr(layer, "activity_regularizer", None)
        if own is None:
            continue
        if type(own) not in LEVELS:
            raise TrainingError(
                f"layer {layer.name!r} has the activity regularizer {type(own).__name__}, "
                "which is neither L1 nor L2"
            )
        layer.activity_regularizer = MaskedActivity(own)


def _is_described_by_config(layer: Any) -> bool:
    """Whether the config of a layer determines what it computes."""
    kinds = Noise | MaskedBatchNormalization | CpuDense | ShiftedConv1D | ShiftedConv2D
    ours = isinstance(layer, kinds)
    known = ours or type(layer).__module__.startswith("keras.")
    if not known or isinstance(layer, keras.layers.Lambda):
        return False
    return isinstance(layer, keras.Model) or not holds_own_function(layer.get_config())


def _structural_config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a layer's config without values that are drawn or are inputs of the program."""
    levels = {kind.__name__ for kind in LEVELS}
    nothing = {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.0}}
    cleaned = dict(config)
    for name, value in config.items():
        if name.endswith("_initializer") and value is not None:
            cleaned[name] = "zeros"
        elif name.endswith("_regularizer") and name != "activity_regularizer":
            known = isinstance(value, dict) and value.get("class_name") in levels
            cleaned[name] = nothing if known else value
    return cleaned


def _model_structure(model: keras.Model) -> str:
    """Return the clone's config, in which layers are named by their index."""
    try:
        config = model.get_config()
    except NotImplementedError:  # of custom code that keeps no config
        return ""
    text = json.dumps(config, sort_keys=True, default=str)
    named = [*flat_layers(model), *getattr(model, "operations", ())]
    names = {layer.name: f"layer{place}" for place, layer in enumerate(named)}
    names[model.name] = "model"
    return re.sub(
        r'"([^"]+)"', lambda found: json.dumps(names.get(found.group(1), found.group(1))), text
    )
