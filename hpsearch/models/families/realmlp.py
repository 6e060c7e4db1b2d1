"""The `realmlp` family: an MLP for tables whose every part was chosen by measurement.

RealMLP-TD of Holzmüller, Grinsztajn and Steinwart 2024, "Better by default: strong pre-tuned MLPs
and boosted trees on tabular data" (arXiv:2407.04491), with the published defaults. The network is
made of stock layers. What is more than a network, its family gives to the trainers:

- factors of the learning rate and of the weight decay of each weight (`make_step_factors`). The
  NTK parametrisation is one of them: a kernel that is divided by sqrt(n) in the network moves under
  Adam as one whose learning rate is.
- weights that begin by what the training rows make of them (`initialize`).
- hyperparameters of the training (`make_training_defaults`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...trial import Value
from ..outputs import Outputs
from ..step_factors import StepFactors
from . import category_encoding, number_embedding
from .category_encoding import CategoryRanges
from .number_embedding import encode_features, initialize_bins

if TYPE_CHECKING:
    import keras

# What the family reads and what it takes where the space is silent.
DEFAULTS: dict[str, Value] = {
    "layers": 3,
    "units": 256,
    "activation": None,  # None: selu in a classification, mish in a regression
    "parametric_activation": True,  # of each unit: between the identity and the activation
    "dropout": 0.15,
    "front_scale": True,  # a trained factor of each input of the first layer
    "parametrization": "ntk",  # or "standard"
    "weight_init": "std",  # or "normal": units of variance 1 on the training rows, or by width
    "bias_init": "he+5",  # or "zeros": minus a mixture of what 5 training rows make of the unit
    "bias_lr_factor": 0.1,
    "scale_lr_factor": 6.0,
    "embedding_lr_factor": 0.1,  # of the embedding of numbers
    "activation_lr_factor": 0.1,
    **category_encoding.DEFAULTS,
    **number_embedding.DEFAULTS,
    "encoding": "embedding",
    "embedding_size": 8,
    "max_one_hot": 8,
    "embedding": "pbld",
}
ENCODED = "first_inputs"  # the layer whose output the first dense layer is given, but for its scale
SIMPLEX_ROWS = 5  # of "he+5"


def make_training_defaults(task: str) -> dict[str, Value]:
    """What a trial is trained with where the space is silent."""
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
) -> keras.Model:
    """An uncompiled network.

    A binary task's probability is the softmax of two units, as in the original.

    Args:
        params: Hyperparameters; those missing take their `DEFAULTS`.
        inputs: Shape of one row, (n_features,).
        outputs: The last layer.
        categories: Which features are the categories of one column.
    """
    import keras
    from keras import layers as k

    p: dict[str, Any] = {**DEFAULTS, **params}
    first = keras.Input(inputs, name="features")
    x = k.Identity(name=ENCODED)(encode_features(first, p, categories))
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
    """`x` times a trained factor of each unit, which begins at 1."""
    import keras

    return keras.layers.EinsumDense(
        "bd,d->bd", output_shape=(x.shape[-1],), kernel_initializer="ones", name=name
    )(x)


def make_step_factors(params: Mapping[str, Value], network: keras.Model) -> StepFactors:
    """The factors of a network that `build` has made.

    A decay multiplies a weight by `1 - learning rate * weight decay`, both times their factors. In
    the original a factor of the learning rate counts twice there, and biases do not decay.
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
    """The factors of one variable: of its learning rate, and of its decay."""
    if layer.startswith("number_"):
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
) -> list[np.ndarray]:
    """The weights before the first step.

    Args:
        params: Hyperparameters.
        network: Whose weights they are, with or without values of its own.
        weights: As they were drawn, in the order of `keras.Model.get_weights`.
        features: Training rows as the network sees them, (n, n_features).
        rng: For what is drawn here.
        categories: Of the features.
    """
    import keras

    p: dict[str, Any] = {**DEFAULTS, **params}
    filled = initialize_bins(p, network, weights, features, rng, categories)
    places = {id(v): i for i, v in enumerate(network.weights)}
    x = _encode_rows(network, filled, features)
    for name in [*(f"dense_{i}" for i in range(p["layers"])), "last"]:
        kernel, bias = (places[id(v)] for v in network.get_layer(name).weights)
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
    """What the first dense layer is given; the scale in front of it begins at 1."""
    import keras

    front = keras.Model(network.inputs[0], network.get_layer(ENCODED).output)
    values = list(zip(network.weights, weights, strict=True))
    with keras.StatelessScope(values, initialize_variables=False):
        return np.asarray(keras.ops.convert_to_numpy(front(features, training=False)))


def _draw_bias(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Of each unit, minus a random mixture of what a few rows make of it, (n_units,).

    Steinwart 2019, "A sober look at neural network initializations" (arXiv:1903.11482).
    """
    shape = (SIMPLEX_ROWS, x.shape[1])
    shares = rng.exponential(size=shape)
    taken = np.take_along_axis(x, rng.integers(0, len(x), shape), axis=0)
    mixed: np.ndarray = -(taken * shares / shares.sum(axis=0)).sum(axis=0)
    return mixed.astype(np.float32)
