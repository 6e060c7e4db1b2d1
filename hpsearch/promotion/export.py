"""`hpsearch export-model`: a promoted model's network in a format of another runtime.

The network takes cleaned columns, float32 of shape (n, n_columns), or arrays as they are;
`schema.json` beside it says how raw cells become them, or their shape and type. Raw tables are
taken by the MLflow model alone.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PromotionError
from .reference import Reference
from .scoring import fetch

if TYPE_CHECKING:
    from mlflow import MlflowClient


def export_model(
    client: MlflowClient, reference: Reference, output: Path, *, format: str
) -> tuple[Path, ...]:
    """Write the network and its schema into the folder `output`, which must not exist.

    Args:
        client: Of the store that holds the model.
        reference: The registered model.
        output: The folder to make; it appears when it is complete.
        format: A key of `FORMATS`.

    Returns:
        The network's file or folder, and the schema.

    Raises:
        PromotionError: If there is no such model, `output` exists, or the format needs a package
            that is not installed.
    """
    if output.exists():
        raise PromotionError(f"{output} exists: name another folder, or remove it")
    name, write = FORMATS[format]
    with tempfile.TemporaryDirectory() as folder:
        artifacts = fetch(client, reference, folder) / "artifacts"
        partial = output.with_name(f"{output.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            write(artifacts / "model.keras", partial / name)
            shutil.copyfile(artifacts / "schema.json", partial / "schema.json")
            partial.rename(output)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return output / name, output / "schema.json"


def _keras(model: Path, output: Path) -> None:
    shutil.copyfile(model, output)


def _saved_model(model: Path, output: Path) -> None:
    import keras

    keras.models.load_model(model, safe_mode=True).export(output, verbose=False)


def _onnx(model: Path, output: Path) -> None:
    import keras

    try:
        import onnx  # noqa: F401  # Keras names it only after it has traced the model
        import tf2onnx  # noqa: F401
    except ModuleNotFoundError as error:
        raise PromotionError(
            f"ONNX needs {error.name}, which is not installed: pip install 'hpsearch[onnx]'"
        ) from error
    network = keras.models.load_model(model, safe_mode=True)
    rows = keras.ops.zeros((1, *network.input_shape[1:]), network.inputs[0].dtype)
    network(rows)  # Keras exports what was called
    network.export(output, format="onnx", verbose=False)


# format -> what the network is called in the folder, and what writes it there
FORMATS: dict[str, tuple[str, Callable[[Path, Path], None]]] = {
    "keras": ("model.keras", _keras),
    "savedmodel": ("saved_model", _saved_model),
    "onnx": ("model.onnx", _onnx),
}
