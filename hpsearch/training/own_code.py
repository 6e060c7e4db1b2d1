"""Save and load models that contain custom layers, functions or classes.

Such a network is one `models.user_network` layer in the saved model, which can only be loaded with
the user's code. A network of Keras's own layers is saved unchanged.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import TrainingError
from ..models import get_convention, make_outputs, strip_convention
from ..models.introspection.model_facts import as_plain_model, find_serving_obstacle
from ..models.user_network import LAYER, make_layer_class
from ..spec.function_reference import find_module_of_file, load_object
from ..trial import Value
from .input_layout import find_layout, list_input_shapes
from .latency import BATCH_ROWS
from .problem import Problem, derive_build_seed
from .trial_result import summarize_message

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4  # tolerated difference of their outputs


def pack_network(
    problem: Problem,
    params: Mapping[str, Value],
    seed: int,
    own: keras.Model,
    network: keras.Model,
) -> keras.Model:
    """Return the network to save: itself, or a layer that is built by user code.

    Args:
        problem: The problem, with the model.
        params: The trial's hyperparameters; fixed ones are added.
        seed: The trial's seed.
        own: The model returned by the user's function.
        network: The same with one output, sharing the weights.
    """
    obstacle = find_serving_obstacle(own)
    if obstacle is None:
        return as_plain_model(network)
    outputs, resolved = make_outputs(problem.task, problem.n_outputs), problem.resolve(params)
    recipe = {
        "reference": get_packed_reference(problem.model),
        "convention": get_convention(problem.model),
        "params": resolved,
        "inputs": list_input_shapes(problem, resolved),
        "layout": [asdict(each) for each in find_layout(problem, own, resolved)],
        "units": outputs.units,
        "activation": outputs.activation,
        "seed": derive_build_seed(seed),
        "why": obstacle,
    }
    return _make_class(problem)(json.dumps(recipe), own, name=own.name)


def get_packed_reference(model: str) -> str:
    """Return the reference of a model's function among its packaged files."""
    location, _, name = strip_convention(model).rpartition(":")
    if not location.endswith(".py"):
        return f"{location}:{name}"
    module = find_module_of_file(Path(location))[1]
    return f"{module if '.' in module else Path(location).name}:{name}"


def _make_class(problem: Problem) -> Any:
    return make_layer_class(lambda _: load_object(strip_convention(problem.model)))


def open_saved_model(path: Path, problem: Problem) -> keras.Model:
    """Load a saved model, with the user's code of `problem.model`."""
    import keras

    return keras.models.load_model(
        path, safe_mode=True, compile=False, custom_objects={LAYER: _make_class(problem)}
    )


def require_same_answers(model: keras.Model, opened: keras.Model) -> None:
    """Refuse a saved model whose outputs differ from the original's.

    Raises:
        TrainingError: With the difference.
    """
    rows = np.random.default_rng(0).uniform(0, 1, (BATCH_ROWS, *model.input_shape[1:]))
    rows = rows.astype(model.inputs[0].dtype)
    expected, found = (np.asarray(m.predict_on_batch(rows)) for m in (model, opened))
    if not np.allclose(expected, found, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        raise TrainingError(
            "the model's function makes another network when it is called again: the saved model "
            f"answers up to {np.nanmax(np.abs(expected - found)):.3g} otherwise. Let every number "
            "that it depends on be a weight of a layer, a hyperparameter or a constant"
        )


def check_saving(problem: Problem, params: Mapping[str, Value]) -> None:
    """Save and load the network of `params`, if it contains user code.

    Raises:
        TrainingError: If it cannot be loaded, or is a different network.
    """
    import keras

    own = problem.make_own_builder(params, 0)()
    if find_serving_obstacle(own) is None:
        return
    packed = pack_network(problem, params, 0, own, own)
    first = keras.Input(problem.row_shape)
    model = keras.Model(first, packed(first, training=False))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            model.save(path)
            opened = open_saved_model(path, problem)
        except Exception as error:
            reason = summarize_message(str(error)) or "no message"
            raise TrainingError(
                f"the model cannot be saved and opened again: {type(error).__name__}: {reason}"
            ) from error
        require_same_answers(model, opened)
