"""A network made by custom code, as one layer of a model that Keras saves.

The layer's config says how the network is made: which function, with which hyperparameters. Its
weights are saved by Keras. Nothing of the code is in the file, so the file opens only where the
code is given, and nothing of it runs unless it is given.

Runs without hpsearch: a served model holds a copy of this file beside the user's.
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

LAYER = "UserNetwork"  # the class's name in a saved model


def make_layer_class(find: Callable[[str], Any]) -> Any:
    """The class of the layer.

    Args:
        find: What a recipe's `reference` names: the user's function or `HyperModel`.
    """
    import keras

    class UserNetwork(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
        """The user's network; see the module."""

        def __init__(self, recipe: str, network: Any = None, **more: Any) -> None:
            super().__init__(**more)
            self.recipe = recipe
            if network is None:
                plain = json.loads(recipe)
                network = build_network(find(plain["reference"]), plain)
            self.network = network

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            outputs = self.network(inputs, training=False)
            if isinstance(outputs, Mapping):
                outputs = list(outputs.values())
            if not isinstance(outputs, list | tuple):
                return outputs
            return outputs[0] if len(outputs) == 1 else keras.ops.concatenate(outputs, axis=-1)

        def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
            # Not by tracing: Keras takes what was multiplied by an array for sparse, which the
            # user's code need not take.
            units = json.loads(self.recipe)["units"]
            return keras.KerasTensor((inputs.shape[0], units), dtype="float32")

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "recipe": self.recipe}

    return UserNetwork


def build_network(found: Any, recipe: Mapping[str, Any]) -> Any:
    """The network of a recipe, its weights as drawn.

    Args:
        found: The user's function, `HyperModel` or class of it.
        recipe: `convention` ("", "keras_tuner" or "optuna"), `params`, `inputs`, `units`,
            `activation` and `seed`.
    """
    import keras

    keras.utils.set_random_seed(recipe["seed"])
    params, inputs = dict(recipe["params"]), tuple(recipe["inputs"])
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


def build_for_rows(model: Any, row_shape: tuple[int, ...]) -> None:
    """Let a model have its weights, if it has none: a subclassed one has them once it is called."""
    import keras

    if not model.built and isinstance(model, keras.Sequential):
        model.build((None, *row_shape))
    elif not model.built:
        model(keras.KerasTensor((None, *row_shape)), training=False)


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

    The modules that it imports from there are forgotten afterwards: another model's may have the
    same names.
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
