"""Properties of a built custom model: compiled or not, shapes, and whether it contains user code.

A model that consists of Keras's own layers and functions can be loaded by plain Keras in safe mode,
without the user's code. Other models are served only if the user's code is trusted; this is
reported before training.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...compat.keras import flat_layers, layer_of

if TYPE_CHECKING:
    import keras

Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Properties of one built model."""

    compiled: bool
    inputs: Shape | None  # shape of one row; None: whatever its first layer accepts
    outputs: Shape | None  # output shape of one row
    own_code: str | None  # why plain Keras cannot load it without the user's code; None: it can
    activation: str | None = None  # activation of the last layer, Keras's name; None: unknown
    unadapted: tuple[str, ...] = ()  # layers that each fold adapts to its training rows
    logits: bool = False  # whether it is compiled with a loss of logits
    layers: tuple[str, ...] = ()  # their paths, if needed
    own_training: str | None = None  # why its own `fit` trains it; None: hpsearch's steps do


def read_model_facts(model: keras.Model) -> ModelFacts:
    """Read the facts of a model without changing it."""
    built = model.built and bool(getattr(model, "inputs", None))
    return ModelFacts(
        compiled=bool(model.compiled),
        inputs=tuple(model.inputs[0].shape[1:]) if built and len(model.inputs) == 1 else None,
        outputs=tuple(model.outputs[0].shape[1:]) if built else None,
        own_code=find_serving_obstacle(model),
        activation=_find_last_activation(model) if built else None,
        unadapted=tuple(layer.name for layer in flat_layers(model) if is_unadapted(layer)),
    )


def is_unadapted(layer: Any) -> bool:
    """Whether a layer has neither been given its statistics nor adapted to data."""
    import keras

    if isinstance(layer, keras.layers.Discretization):
        return layer.bin_boundaries is None
    if not isinstance(layer, keras.layers.Normalization) or layer.input_mean is not None:
        return False
    try:  # a model that was built without values was not adapted
        mean, variance = map(keras.ops.convert_to_numpy, (layer.adapt_mean, layer.adapt_variance))
    except Exception:
        return True
    return bool((mean == 0).all() and (variance == 1).all())


def find_lookup(model: keras.Model) -> str | None:
    """Find a layer that TensorFlow computes, whatever the backend is; None if there is none."""
    import keras

    k = keras.layers
    kinds = (k.StringLookup, k.IntegerLookup, k.TextVectorization, k.Hashing, k.HashedCrossing)
    for layer in flat_layers(model):
        if isinstance(layer, kinds):
            return f"{type(layer).__name__} {layer.name!r}"
    return None


def _find_last_activation(model: keras.Model) -> str | None:
    """Find the activation of a model's single output; None if it cannot be determined."""
    import keras

    if len(model.outputs) != 1:
        return None
    layer = layer_of(model.outputs[0])
    if isinstance(layer, keras.Model):
        return _find_last_activation(layer) if getattr(layer, "outputs", None) else None
    if type(layer) is keras.layers.Softmax:
        return "softmax"
    if type(layer) not in (keras.layers.Dense, keras.layers.Activation):
        return None
    return getattr(layer.activation, "__name__", None)


def as_plain_model(model: keras.Model) -> keras.Model:
    """Convert a functional model of a custom class to `keras.Model`, sharing the layers.

    Such a class changes the training, not the outputs. Other models are returned unchanged.
    """
    import keras

    from ...compat.keras import functional_class

    kind, functional = type(model), functional_class()
    is_graph = isinstance(model, functional) and kind is not functional
    if (
        not is_graph
        or kind.call is not functional.call
        or kind.__call__ is not keras.Model.__call__
    ):
        return model
    return keras.Model(model.input, model.output, name=model.name)


def find_serving_obstacle(model: keras.Model) -> str | None:
    """Explain why Keras cannot load the saved model in safe mode; None if it can."""
    import keras

    model = as_plain_model(model)
    compiled, model.compiled = model.compiled, False  # it is served without loss and optimizer
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warns of an unsafe lambda, which is reported below
            config = keras.saving.serialize_keras_object(model)
    except Exception as error:  # a subclassed model or layer without a config
        # A layer of the model.
        named = re.match(r"Object (\w+) was created by passing", str(error).strip())
        kind = named[1] if named else type(model).__name__
        return f"{kind} is a custom class without a config"
    finally:
        model.compiled = compiled
    return next(_find_custom_objects(config, "the model"), None)


def _find_custom_objects(node: Any, location: str) -> Iterator[str]:
    """Find the custom objects in a serialized object."""
    if isinstance(node, list | tuple):
        for child in node:
            yield from _find_custom_objects(child, location)
    if not isinstance(node, Mapping):
        return
    config = node.get("config")
    kind = node.get("class_name")
    named = [config.get("name") if isinstance(config, Mapping) else None, node.get("name")]
    if name := next((name for name in named if isinstance(name, str)), None):
        location = f"layer {name!r}"
    if kind in ("Lambda", "__lambda__"):
        yield f"{location} contains a lambda, which is custom code"
    elif kind == "function":
        yield f"{location} contains the custom function {config!r}"
    elif node.get("registered_name") and not _is_keras_module(node.get("module")):
        yield f"{location} is a {kind}, a custom class"
    for key, child in node.items():
        if key.endswith("activation") and isinstance(child, Mapping) and "value" in child:
            yield f"{location} has a lambda as its {key}, which is custom code"
        yield from _find_custom_objects(child, location)


def _is_keras_module(module: str | None) -> bool:
    return module is not None and (module == "keras" or module.startswith(("keras.", "builtins")))
