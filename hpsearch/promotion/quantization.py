"""`hpsearch export-model --quantize int8`: export a network with weights of 8 bits.

Dense and embedding layers are quantized by Keras. Labelled rows show what it costs: the study's
metric is computed with the network before and after.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..data.schema import Schema
from ..errors import PromotionError
from ..platforms.files import draft_of, publish_folder
from ..training.metrics import find_metric, get_metric
from .model_export import KERAS_FILE, explain_errors, load_keras, require_new, write_keras
from .model_loading import fetch_model, load_served
from .reference import Reference
from .row_file import RowFile
from .run_files import read_metadata

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_METRICS = {"regression": "rmse"}  # if the study's metric is a custom one
TOLERANCE = 1e-4  # tolerated difference between the quantized network and its file


@dataclass(frozen=True, slots=True)
class QuantizedExport:
    """The files of an export, and what the network's answers are worth before and after."""

    files: tuple[Path, ...]
    metric: str
    n_rows: int
    before: float
    after: float
    bytes_before: int  # of the network's file
    bytes_after: int


def export_quantized(
    client: MlflowClient,
    reference: Reference,
    output: Path,
    *,
    mode: Literal["int8"],
    rows: Path,
) -> QuantizedExport:
    """Write the quantized network and its schema into the folder `output`, which must not exist.

    Args:
        client: Client of the store that has the model.
        reference: The registered model.
        output: The folder to create.
        mode: The mode of `keras.Model.quantize`.
        rows: A table with the target, on which the network is scored.

    Raises:
        PromotionError: If there is no such model, `output` exists, or the network cannot be
            quantized.
        DataError: If the rows lack a column or a target.
    """
    require_new(output)
    with tempfile.TemporaryDirectory() as folder:
        path = fetch_model(client, reference, folder)
        schema = Schema.from_json(load_served(path, reference).schema.to_json())
        columns, truth = _read_labelled_rows(rows, schema, reference)
        file = path / "artifacts" / "model.keras"
        draft = draft_of(output)
        try:
            draft.mkdir()
            write_keras(file, draft / KERAS_FILE)  # refuses a network with the user's code
            network = load_keras(file)
            before = _predict(network, columns)
            with explain_errors(f"{reference} cannot be quantized"):
                _quantize(network, mode)
                network.save(draft / KERAS_FILE)
            after = _predict(load_keras(draft / KERAS_FILE), columns)
            if not np.allclose(_predict(network, columns), after, atol=TOLERANCE, equal_nan=True):
                raise PromotionError(f"{reference} was quantized, but its file answers otherwise")
            sizes = file.stat().st_size, (draft / KERAS_FILE).stat().st_size
            shutil.copyfile(path / "artifacts" / "schema.json", draft / "schema.json")
            require_new(output)
            publish_folder(draft, output)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        assert schema.target is not None
        metric = _choose_metric(path, schema.target.kind)
    threshold = schema.target.threshold
    return QuantizedExport(
        files=(output / KERAS_FILE, output / "schema.json"),
        metric=metric.name,
        n_rows=len(truth),
        before=metric(truth, before, threshold=threshold),
        after=metric(truth, after, threshold=threshold),
        bytes_before=sizes[0],
        bytes_after=sizes[1],
    )


def _quantize(network: Any, mode: str) -> None:
    """Quantize the layers of a network that Keras can quantize.

    Raises:
        ValueError: If it has no such layer.
    """
    n_bytes = _count_bytes(network)
    with warnings.catch_warnings():
        # Keras warns of each layer that stays as it is.
        warnings.filterwarnings("ignore", r"Layer \w+ does not have a `quantize` method")
        network.quantize(mode)
    if _count_bytes(network) >= n_bytes:
        raise ValueError("it has no dense or embedding layer, whose weights Keras quantizes")


def _count_bytes(network: Any) -> int:
    return sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in network.weights)


def _read_labelled_rows(
    rows: Path, schema: Schema, reference: Reference
) -> tuple[np.ndarray, np.ndarray]:
    """Read cleaned columns and the encoded target."""
    if schema.shape or schema.window is not None or schema.target is None:
        raise PromotionError(f"{reference}: only networks of tables can be quantized and scored")
    file = RowFile(rows, schema, None, schema.target.names)
    blocks = [(schema.clean(b), schema.encode_target(b)) for b in file.read_blocks() if b.num_rows]
    if not blocks:
        raise PromotionError(f"{rows}: there are no rows")
    columns, truth = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return columns, truth


def _predict(network: Any, columns: np.ndarray, batch: int = 1024) -> np.ndarray:
    parts = [
        np.asarray(network.predict_on_batch(columns[start : start + batch]), np.float64)
        for start in range(0, len(columns), batch)
    ]
    return np.concatenate(parts)


def _choose_metric(path: Path, task: str) -> Any:
    """Return the study's metric, or log loss or RMSE if it is a custom one."""
    name = read_metadata(path / "MLmodel").get("metric", "")
    found = find_metric(name)
    fits = found is not None and task in found.tasks
    return get_metric(name if fits else DEFAULT_METRICS.get(task, "log_loss"), task)
