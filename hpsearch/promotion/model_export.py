"""`hpsearch export-model`: export a promoted network for another runtime.

The network's input is cleaned columns, float32 of shape (n, n_columns), or arrays; `schema.json`
beside it describes how raw cells are cleaned, or the arrays' shape and type. Only the MLflow model
accepts raw tables.

The export is opened by its runtime and must predict the example rows as the served model does;
otherwise it is removed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import HpsearchError, PromotionError
from ..models.user_network import LAYER, load_packed_object, make_layer_class
from ..platforms.files import draft_of, publish_folder
from .model_loading import fetch_model, load_served
from .packed_code import find_own_code
from .reference import Reference

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

RELATIVE, ABSOLUTE = 1e-4, 1e-5  # tolerated float32 differences between runtimes

KERAS_FILE = "model.keras"  # in the folder of an export

PredictFunction = Callable[[np.ndarray], Any]  # runs a network in its runtime


def export_model(
    client: MlflowClient, reference: Reference, output: Path, *, format: str
) -> tuple[Path, ...]:
    """Write the network and its schema into the folder `output`, which must not exist.

    Args:
        client: Client of the store that has the model.
        reference: The registered model.
        output: The folder to create; it appears when it is complete and verified.
        format: A key of `FORMATS`.

    Returns:
        The network's file or folder, and the schema.

    Raises:
        PromotionError: If there is no such model, `output` exists, the format needs a package
            that is not installed, or cannot hold the network.
    """
    require_new(output)
    name, write, open_network = FORMATS[format]
    with tempfile.TemporaryDirectory() as folder:
        path = fetch_model(client, reference, folder)
        served = load_served(path, reference)
        draft = draft_of(output)
        try:
            draft.mkdir()
            with explain_errors(f"{reference} cannot be written as {format}"):
                write(path / "artifacts" / "model.keras", draft / name)
            with explain_errors(f"{reference} was written as {format}, which cannot be used"):
                _require_same_answers(
                    served, _load_example(path, served.schema), open_network(draft / name)
                )
            shutil.copyfile(path / "artifacts" / "schema.json", draft / "schema.json")
            require_new(output)
            publish_folder(draft, output)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return output / name, output / "schema.json"


def require_new(output: Path) -> None:
    """Refuse a folder that exists.

    Raises:
        PromotionError: If it exists.
    """
    if output.exists():
        raise PromotionError(f"{output} exists: name another folder, or remove it")


@contextmanager
def explain_errors(what: str) -> Iterator[None]:
    """Convert errors, of which every runtime has its own kinds, to a PromotionError."""
    try:
        yield
    except (HpsearchError, OSError):
        raise
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise PromotionError(f"{what}: {reason[0]}") from error


def _load_example(path: Path, schema: Any) -> Any:
    """Load the model's example rows."""
    from mlflow.models import Model

    example = Model.load(str(path)).load_input_example(str(path))
    return np.asarray(example, schema.dtype) if schema.shape else example


def _require_same_answers(served: Any, example: Any, answer: PredictFunction) -> None:
    """Refuse a network whose predictions for the example differ from the served model's.

    Raises:
        PromotionError: States the largest difference.
    """
    expected = _extract_scores(served.answer(example))
    served.model = SimpleNamespace(predict_on_batch=answer, output_shape=served.model.output_shape)
    found = _extract_scores(served.answer(example))
    if not np.isfinite(expected).any():
        raise PromotionError("the served model has no answer for its own example rows")
    if not np.allclose(expected, found, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True):
        largest = np.nanmax(np.abs(expected - found))
        raise PromotionError(
            f"its answers for the model's example rows differ by up to {largest:.3g}"
        )


def _extract_scores(answers: pd.DataFrame) -> np.ndarray:
    """Extract the probabilities or predictions from a served model's output."""
    columns = [c for c in answers.columns if c.startswith(("probability_", "prediction"))]
    numbers: np.ndarray = answers[columns].to_numpy(np.float64)
    return numbers


# ---- formats ----


def load_keras(path: Path) -> Any:
    """Load the network of a fetched model, with the user's code that is packed with it."""
    import keras

    trusted = {}
    if find_own_code(path) is not None:  # packaged with the version
        find = partial(load_packed_object, path.with_name("user_code"))
        trusted = {LAYER: make_layer_class(find)}
    return keras.models.load_model(path, safe_mode=True, compile=False, custom_objects=trusted)


def write_keras(model: Path, output: Path) -> None:
    """Copy a network's file.

    Raises:
        PromotionError: If it needs the user's code.
    """
    if own := find_own_code(model):
        raise PromotionError(
            f"the model contains your own code ({own['why']}), which a .keras file does not: "
            "--format savedmodel or onnx writes what it computes"
        )
    shutil.copyfile(model, output)


def _open_keras(path: Path) -> PredictFunction:
    answer: PredictFunction = load_keras(path).predict_on_batch
    return answer


def _require_package(package: str, fix: str) -> Any:
    import importlib

    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise PromotionError(
            f"the format needs {error.name}, which is not installed: {fix}"
        ) from error


def _write_saved_model(model: Path, output: Path) -> None:
    _require_package("tensorflow", "pip install 'hpsearch[tensorflow]'")
    load_keras(model).export(output, verbose=False)


def _open_saved_model(path: Path) -> PredictFunction:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return lambda rows: loaded.serve(rows)  # keeps it alive


def _write_onnx(model: Path, output: Path) -> None:
    for package in ("onnx", "tf2onnx", "tensorflow"):
        _require_package(package, "pip install 'hpsearch[onnx]'")
    import keras

    from . import onnx_operations  # noqa: F401  # tf2onnx finds them

    network = load_keras(model)
    rows = keras.ops.zeros((1, *network.input_shape[1:]), network.inputs[0].dtype)
    network(rows)  # Keras exports what was called
    network.export(output, format="onnx", verbose=False)


def _open_onnx(path: Path) -> PredictFunction:
    """Open with ONNX Runtime, or with ONNX's slower reference runtime if it is not installed."""
    import onnx

    onnx.checker.check_model(str(path))
    try:
        from onnxruntime import InferenceSession

        session = InferenceSession(path)
        name = session.get_inputs()[0].name
    except ModuleNotFoundError:
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(str(path))
        name = session.input_names[0]
    return lambda rows: session.run(None, {name: rows})[0]


# format -> name in the folder, writer, and runtime
FORMATS: dict[str, tuple[str, Callable[[Path, Path], None], Callable[[Path], PredictFunction]]] = {
    "keras": (KERAS_FILE, write_keras, _open_keras),
    "savedmodel": ("saved_model", _write_saved_model, _open_saved_model),
    "onnx": ("model.onnx", _write_onnx, _open_onnx),
}
