"""The `realmlp` family: an MLP for tables, whose design was tuned on many data sets.

RealMLP-TD of Holzmüller, Grinsztajn and Steinwart 2024, "Better by default: strong pre-tuned MLPs
and boosted trees on tabular data" (arXiv:2407.04491), with the published defaults. The network
consists of stock layers. The trainers get the rest from the family:

- factors of learning rate and weight decay per variable (`make_step_factors`). They include the
  NTK parametrization: under Adam, dividing a kernel by sqrt(n) in the network is equivalent to
  dividing its learning rate.
- data-dependent initial weights (`initialize`).
- training hyperparameters (`make_training_defaults`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.columns import ColumnInput
from ...trial import Value
from ..outputs import Outputs
from ..step_factors import StepFactors
from . import category_encoding, image_encoding, number_embedding, text_embedding
from .category_encoding import CategoryRanges
from .column_encoding import encode_columns
from .number_embedding import initialize_bins

if TYPE_CHECKING:
    import keras

# Hyperparameters of the family, with defaults.
DEFAULTS: dict[str, Value] = {
    "layers": 3,
    "units": 256,
    "activation": None,  # None: selu for classification, mish for regression
    "parametric_activation": True,  # trained blend of identity and activation, per unit
    "dropout": 0.15,
    "front_scale": True,  # trained factor per input of the first layer
    "parametrization": "ntk",  # or "standard"
    "weight_init": "std",  # or "normal": unit variance on the training rows, or scaled by width
    "bias_init": "he+5",  # or "zeros": negative mixture of the unit's values on 5 training rows
    "bias_lr_factor": 0.1,
    "scale_lr_factor": 6.0,
    "embedding_lr_factor": 0.1,  # of the embeddings of numbers, texts and images
    "activation_lr_factor": 0.1,
    **category_encoding.DEFAULTS,
    **number_embedding.DEFAULTS,
    **text_embedding.DEFAULTS,
    **image_encoding.DEFAULTS,
    "encoding": "embedding",
    "embedding_size": 8,
    "max_one_hot": 8,
    "embedding": "pbld",
}
ENCODED = "first_inputs"  # the layer before the scale and the first dense layer
SIMPLEX_ROWS = 5  # rows used by "he+5"


def make_training_defaults(task: str) -> dict[str, Value]:
    """Return the default training hyperparameters."""
    defaults: dict[str, Value] = {
        "optimizer": "adam",
        "learning_rate": 0.2 if task == "regression" else 0.04,
        "beta_2": 0.95,
        "epsilon": 1e-8,
        "weight_decay": 0.02,
        "schedule": "coslog",
        "dropout_schedule": "flat_cosine",
        "weight_decay_schedule": "flat_cosine",
        "batch_size": 256,
        "scaling": "robust_clip",
    }
    more: dict[str, Value] = {"clamp": True} if task == "regression" else {"label_smoothing": 0.1}
    return {**defaults, **more}


def build(
    params: Mapping[str, Value],
    inputs: tuple[int, ...],
    outputs: Outputs,
    *,
    categories: CategoryRanges = (),
    arrays: Sequence[ColumnInput] = (),
) -> keras.Model:
    """Build an uncompiled network.

    As in the original, the probability of a binary task is a softmax of two units.

    Args:
        params: Hyperparameters; missing ones default to `DEFAULTS`.
        inputs: Shape of one row, (n_features,).
        outputs: The output layer.
        categories: The ranges of features that encode one categorical column.
        arrays: The features of texts and images, which are the last ones.
    """
    import keras
    from keras import layers as k

    p: dict[str, Any] = {**DEFAULTS, **params}
    first = keras.Input(inputs, name="features")
    x = k.Identity(name=ENCODED)(encode_columns(first, p, categories, arrays))
    if p["front_scale"]:
        x = _scale_units(x, "scale")
    activation = _get_activation(p, outputs)
    for i in range(p["layers"]):
        x = k.Dense(p["units"], kernel_initializer="lecun_normal", name=f"dense_{i}")(x)
        bent = k.Activation(activation, name=f"activation_{i}")(x)
        if p["parametric_activation"]:
            change = k.Subtract(name=f"change_{i}")([bent, x])
            bent = k.Add(name=f"bent_{i}")([x, _scale_units(change, f"bend_{i}")])
        x = k.Dropout(p["dropout"], name=f"dropout_{i}")(bent) if p["dropout"] else bent
    two = outputs.units == 1 and outputs.activation == "sigmoid"
    x = k.Dense(2 if two else outputs.units, kernel_initializer="lecun_normal", name="last")(x)
    if two:
        x = k.Subtract(name="log_odds")([x[:, 1:], x[:, :1]])
    return keras.Model(first, k.Activation(outputs.activation, name="output")(x), name="realmlp")


def _get_activation(p: Mapping[str, Any], outputs: Outputs) -> str:
    if p["activation"] is not None:
        return str(p["activation"])
    return "mish" if outputs.activation == "linear" else "selu"


def _scale_units(x: Any, name: str) -> Any:
    """Multiply `x` by a trained factor per unit, initially 1."""
    import keras

    return keras.layers.EinsumDense(
        "bd,d->bd", output_shape=(x.shape[-1],), kernel_initializer="ones", name=name
    )(x)


def make_step_factors(params: Mapping[str, Value], network: keras.Model) -> StepFactors:
    """Return the factors of a network made by `build`.

    Decay multiplies a weight by `1 - learning rate * weight decay`, both with their factors. In
    the original the factor of the learning rate applies twice there, and biases do not decay.
    """
    p: dict[str, Any] = {**DEFAULTS, **params}
    rates, decays = [], []
    for variable in network.trainable_variables:
        layer, weight = variable.path.split("/")[-2:]
        rate, decay = _find_factors(p, layer, weight, tuple(variable.shape))
        rates.append(rate)
        decays.append(decay)
    return StepFactors(np.array(rates, np.float32), np.array(decays, np.float32))


def _find_factors(
    p: Mapping[str, Any], layer: str, weight: str, shape: tuple[int, ...]
) -> tuple[float, float]:
    """Return the factors of one variable: learning rate and decay."""
    if layer.startswith(("number_", "text_", "image_")):
        return p["embedding_lr_factor"], p["embedding_lr_factor"]
    if layer == "scale":
        return p["scale_lr_factor"], p["scale_lr_factor"]
    if layer.startswith("bend_"):
        return p["activation_lr_factor"], p["activation_lr_factor"]
    if weight == "bias":
        return p["bias_lr_factor"], 0.0
    if p["parametrization"] == "ntk" and layer.startswith(("dense_", "last")):
        return 1 / math.sqrt(shape[0]), math.sqrt(shape[0])
    return 1.0, 1.0


def initialize(
    params: Mapping[str, Value],
    network: keras.Model,
    weights: Sequence[np.ndarray],
    features: np.ndarray,
    rng: np.random.Generator,
    categories: CategoryRanges = (),
    arrays: Sequence[ColumnInput] = (),
) -> list[np.ndarray]:
    """Compute the initial weights.

    Args:
        params: Hyperparameters.
        network: The network, whose own weights are not used.
        weights: The drawn weights, in the order of `keras.Model.get_weights`.
        features: Training rows as the network's input, (n, n_features).
        rng: Generator of the random numbers.
        categories: The ranges of categorical features.
        arrays: The features of texts and images, which are the last ones.
    """
    import keras

    p: dict[str, Any] = {**DEFAULTS, **params}
    filled = initialize_bins(p, network, weights, features, rng, categories, arrays)
    indices = {id(v): i for i, v in enumerate(network.weights)}
    x = _encode_rows(network, filled, features)
    for name in [*(f"dense_{i}" for i in range(p["layers"])), "last"]:
        kernel, bias = (indices[id(v)] for v in network.get_layer(name).weights)
        x = x @ filled[kernel]
        if p["weight_init"] == "std":
            spread = x.std(axis=0)
            gain = 1 / np.where(spread > 1e-6, spread, 1.0)
            filled[kernel], x = filled[kernel] * gain, x * gain
        if p["bias_init"] == "he+5":
            filled[bias] = _draw_bias(x, rng)
        x = x + filled[bias]
        if name != "last":
            bend = network.get_layer(name.replace("dense", "activation")).activation
            x = np.asarray(keras.ops.convert_to_numpy(bend(x)))
    return [value.astype(np.float32) for value in filled]


def _encode_rows(
    network: keras.Model, weights: Sequence[np.ndarray], features: np.ndarray
) -> np.ndarray:
    """Compute the input of the first dense layer; the scale before it is initially 1."""
    import keras

    front = keras.Model(network.inputs[0], network.get_layer(ENCODED).output)
    values = list(zip(network.weights, weights, strict=True))
    with keras.StatelessScope(values, initialize_variables=False):
        return np.asarray(keras.ops.convert_to_numpy(front(features, training=False)))


def _draw_bias(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw biases, (n_units,): minus a random mixture of each unit's values on a few rows.

    Steinwart 2019, "A sober look at neural network initializations" (arXiv:1903.11482).
    """
    shape = (SIMPLEX_ROWS, x.shape[1])
    shares = rng.exponential(size=shape)
    taken = np.take_along_axis(x, rng.integers(0, len(x), shape), axis=0)
    mixed: np.ndarray = -(taken * shares / shares.sum(axis=0)).sum(axis=0)
    return mixed.astype(np.float32)
