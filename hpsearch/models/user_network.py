"""A network made by custom code, as one layer of a model that Keras saves.

The layer's config describes how the network is built: the function and its hyperparameters. Keras
saves the weights. The file contains no code, so it can only be loaded together with the user's
code, and runs none without it.

Works without hpsearch: a served model contains a copy of this file.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

try:
    from .named_inputs import pack_inputs, read_layout, split_features
except ImportError:  # beside a served model
    from hpsearch_named_inputs import (  # type: ignore[import-not-found,no-redef]
        pack_inputs,
        read_layout,
        split_features,
    )

LAYER = "UserNetwork"  # the class's name in a saved model


def make_layer_class(find: Callable[[str], Any]) -> Any:
    """Make the class of the layer.

    Args:
        find: Returns the user's function or `HyperModel` for a recipe's `reference`.
    """
    import keras

    class UserNetwork(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
        """The network built by custom code; see the module."""

        def __init__(self, recipe: str, network: Any = None, **more: Any) -> None:
            super().__init__(**more)
            self.recipe = recipe
            if network is None:
                plain = json.loads(recipe)
                network = build_network(find(plain["reference"]), plain)
            self.network = network

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            layout = read_layout(json.loads(self.recipe))
            if layout:
                inputs = pack_inputs(self.network, split_features(inputs, layout))
            outputs = self.network(inputs, training=False)
            if isinstance(outputs, Mapping):
                outputs = list(outputs.values())
            if not isinstance(outputs, list | tuple):
                return outputs
            return outputs[0] if len(outputs) == 1 else keras.ops.concatenate(outputs, axis=-1)

        def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
            # Not by tracing: Keras treats products with an array as sparse, which the
            # user's code may not support.
            units = json.loads(self.recipe)["units"]
            return keras.KerasTensor((inputs.shape[0], units), dtype="float32")

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "recipe": self.recipe}

    return UserNetwork


def build_network(found: Any, recipe: Mapping[str, Any]) -> Any:
    """Build the network of a recipe, with its initial weights.

    Args:
        found: The user's function, `HyperModel` or class of it.
        recipe: `convention` ("", "keras_tuner" or "optuna"), `params`, `inputs`, `layout` (see
            `NamedInput`), `units`, `activation` and `seed`.
    """
    import keras

    keras.utils.set_random_seed(recipe["seed"])
    params, inputs = dict(recipe["params"]), recipe["inputs"]
    if isinstance(inputs, Mapping):
        inputs = {name: tuple(shape) for name, shape in inputs.items()}
    else:
        inputs = tuple(inputs)
    if recipe["convention"] == "keras_tuner":
        model = _build_with_keras_tuner(found, params)
    elif recipe["convention"] == "optuna":
        from optuna.trial import FixedTrial

        model = found(FixedTrial(params))
    else:
        outputs = SimpleNamespace(units=recipe["units"], activation=recipe["activation"])
        model = found(params, inputs, outputs)
    build_for_rows(model, inputs)
    return model


def build_for_rows(model: Any, shape: Any) -> None:
    """Create the weights of a model that has none; a subclassed model creates them when called.

    Args:
        model: The model.
        shape: Shape of one row, or those of the named inputs by name.
    """
    import keras

    if model.built:
        return
    if isinstance(model, keras.Sequential):
        [only] = shape.values() if isinstance(shape, Mapping) else [shape]
        model.build((None, *only))
    elif isinstance(shape, Mapping):
        given = {name: keras.KerasTensor((None, *own)) for name, own in shape.items()}
        model(given, training=False)
    else:
        model(keras.KerasTensor((None, *shape)), training=False)


def _build_with_keras_tuner(found: Any, params: Mapping[str, Any]) -> Any:
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.values.update(params)
    if isinstance(found, type):
        found = found()
    if not isinstance(found, keras_tuner.HyperModel):
        return found(hp)
    found.declare_hyperparameters(hp)
    return found.build(hp)


def load_packed_object(folder: Path, reference: str) -> Any:
    """Load the object `FILE.py:NAME` or `MODULE:NAME` from the files of a folder.

    Modules imported from the folder are removed from `sys.modules` afterwards, since those of
    another model may have the same names.
    """
    location, _, name = reference.rpartition(":")
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        if location.endswith(".py"):
            spec = importlib.util.spec_from_file_location(Path(location).stem, folder / location)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(location)
        return getattr(module, name)
    finally:
        sys.path.remove(str(folder))
        for added in set(sys.modules) - before:
            file = getattr(sys.modules[added], "__file__", None)
            if file is not None and Path(file).is_relative_to(folder):
                del sys.modules[added]
