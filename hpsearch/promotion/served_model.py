"""The MLflow model: takes a raw table, returns probabilities and labels.

MLflow stores this file as the model's code (models from code: nothing is pickled) and runs it
where hpsearch is not installed. It requires Keras with one backend, numpy, pandas, MLflow, and the
modules that read a table, which are copied beside it as `hpsearch_schema` and so on.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import json
import logging
import os
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

WITHOUT_MLFLOW = "WITHOUT_MLFLOW" in globals()  # set by `hpsearch predict`, for a faster start
if TYPE_CHECKING or not WITHOUT_MLFLOW:
    import pandas as pd
    from mlflow.models import set_model
    from mlflow.pyfunc import PythonModel, PythonModelContext
else:
    PythonModel = PythonModelContext = object

# Modules beside the model that this file uses.
CODE = ("columns", "column_cleaning", "schema", "delimited", "prediction_intervals")
ROWS_AT_ONCE = 4096  # rows per batch; bounds the memory of activations
MOST_SHOWN = 5  # columns, and unknown categories of each, named in a warning
ARRAYS_AT_ONCE = 256  # rows per batch if rows are arrays


class ServedModel(PythonModel):  # type: ignore[misc]
    """A Keras model with the schema of its training table."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model after checking the digests of its files.

        Raises:
            ValueError: If a file differs from the saved one.
        """
        files = {name: Path(path) for name, path in context.artifacts.items()}
        digests = json.loads(files["digests"].read_text(encoding="utf-8"))
        user_code = digests.pop("user_code", None)
        for name, expected in digests.items():
            _require_digest(files[name], expected)
        for name, expected in (user_code or {}).items():
            _require_digest(files["user_code"] / name, expected)
        _choose_backend()
        self.code = _import_code(files["model"].parents[1] / "code")
        plain = json.loads(files["schema"].read_text(encoding="utf-8"))
        self.schema = self.code["schema"].Schema.from_json(plain)
        trusted = {} if user_code is None else _trust_code(files)
        self.model = _load_network(files["model"], trusted)
        _serve_csv(self.schema, self.code)

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Predict the rows of a raw table, in order; see `answer`.

        Logs one line per table if there are cells of unknown categories.

        Args:
            context: Unused.
            model_input: The raw table.
            params: Options of `answer`: `interval`.
        """
        counts = self.code["columns"].CellCounts()
        answers = self.answer(model_input, counts, (params or {}).get("interval"))
        if counts.unknown:
            _warn_unknown(counts.unknown, len(answers))
        return answers

    def answer(self, table: Any, counts: Any = None, interval: float | None = None) -> pd.DataFrame:
        """Predict each row of a raw table.

        Args:
            table: A pandas DataFrame or pyarrow Table with the schema's raw columns, including
                texts and missing cells; other columns are ignored. An array (n_rows, *shape) if
                the model takes arrays, such as images.
            counts: A `hpsearch_columns.CellCounts` to which missing and unknown cells are added.
            interval: Level of prediction intervals, 0.5 to 0.99; None: no intervals.

        Returns:
            `label` and one `probability_<class>` per class; `prediction` for a regression. With
            several targets, `prediction_<target>`, or `label_<target>` and `probability_<target>`,
            the probability of the last of its two classes. With `interval` also `low` and `high`
            for a regression (`low_<target>` and `high_<target>` of several targets), or `set`, a
            JSON list of classes. If the model takes windows, rows must be in the order of time,
            and rows without a whole window have missing values.

        Raises:
            ValueError: If a column is missing, a cell is not a number, or the model does not have
                the level `interval`; the message names the column, the cell or the levels.
        """
        import pandas as pd

        if self.schema.window is None:
            return pd.DataFrame(self.answer_columns(table, counts, interval))
        bound = self._find_bound(interval)
        columns = self.schema.clean(table, counts)
        order, last = self.schema.windows(table)
        columns, known = columns[order], np.flatnonzero(last >= 0)
        offsets = np.arange(1 - self.schema.window.rows, 1)
        scores = self._predict_scores(
            len(known), lambda rows: columns[last[known[rows]][:, None] + offsets]
        )
        answers = pd.DataFrame(self._name_scores(scores, bound)).set_axis(known)
        whole = answers.select_dtypes("integer").columns  # missing values would make them floats
        return answers.astype(dict.fromkeys(whole, object)).reindex(range(len(columns)))

    def answer_columns(
        self, table: Any, counts: Any = None, interval: float | None = None
    ) -> dict[str, Any]:
        """Return the columns of `answer` without importing pandas; not of a model of windows."""
        bound = self._find_bound(interval)
        columns = self.schema.clean(table, counts)
        scores = self._predict_scores(len(columns), lambda rows: columns[rows])
        return self._name_scores(scores, bound)

    def _find_bound(self, interval: float | None) -> Any:
        if interval is None:
            return None
        return self.code["prediction_intervals"].bound_of_level(self.schema.target.bounds, interval)

    def _name_scores(self, scores: np.ndarray, bound: Any = None) -> dict[str, Any]:
        """Build the answers from scores, (n_rows, n_outputs), with intervals or sets if bounded."""
        target = self.schema.target
        if target.kind == "multilabel":
            return self._label_columns(scores)
        if target.kind == "regression":
            return self._number_columns(scores, bound)
        if target.kind == "binary":
            scores = np.concatenate([1 - scores, scores], axis=1)
            indices = (scores[:, 1] > target.threshold).astype(int)
        else:
            indices = scores.argmax(axis=1)
        answers = {f"probability_{c}": scores[:, k] for k, c in enumerate(target.classes)}
        named: dict[str, Any] = {"label": np.array(target.classes)[indices], **answers}
        if bound is not None:
            sets = self.code["prediction_intervals"].compute_sets(scores, bound)
            named["set"] = [
                json.dumps([c for c, held in zip(target.classes, row, strict=True) if held])
                for row in sets
            ]
        return named

    def _number_columns(self, scores: np.ndarray, bound: Any) -> dict[str, Any]:
        """Build the columns of a regression from scores, (n_rows, n_outputs)."""
        answers: dict[str, Any] = {}
        target = self.schema.target
        for k, output in enumerate(target.outputs):
            suffix = f"_{output.name}" if target.parts else ""
            numbers = answers[f"prediction{suffix}"] = scores[:, k].astype(np.float64)
            if bound is not None:
                ends = self.code["prediction_intervals"].compute_intervals(
                    numbers, bound, output.transform, k
                )
                answers |= dict(zip((f"low{suffix}", f"high{suffix}"), ends, strict=True))
        return answers

    def _label_columns(self, scores: np.ndarray) -> dict[str, Any]:
        """Build the columns of labels and probabilities from scores, (n_rows, n_labels)."""
        answers: dict[str, np.ndarray] = {}
        for part, score in zip(self.schema.target.parts, scores.T, strict=True):
            indices = (score > part.threshold).astype(int)
            answers[f"label_{part.name}"] = np.array(part.classes)[indices]
            answers[f"probability_{part.name}"] = score
        return answers

    def _predict_scores(self, n_rows: int, take: Callable[[slice], np.ndarray]) -> np.ndarray:
        """Run the Keras model on the rows that `take` returns: (n_rows, n_outputs) float64.

        Batches are padded to a power of two, so that few shapes are compiled.
        """
        answers = [np.empty((0, self.model.output_shape[-1]))]
        at_once = ROWS_AT_ONCE if len(self.schema.input_shape) == 1 else ARRAYS_AT_ONCE
        for start in range(0, n_rows, at_once):
            rows = take(slice(start, min(start + at_once, n_rows)))
            size = 1 << (len(rows) - 1).bit_length()
            filled = np.zeros((size, *rows.shape[1:]), rows.dtype)
            filled[: len(rows)] = rows
            answers.append(np.asarray(self.model.predict_on_batch(filled))[: len(rows)])
        return np.concatenate(answers).astype(np.float64)


def _require_digest(file: Path, expected: str) -> None:
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != expected:
        raise ValueError(
            f"{file.name} is damaged: its SHA-256 is {found}, {expected} was "
            "saved. Fetch the model again, or promote it again from its study."
        )


def _load_network(file: Path, trusted: Mapping[str, Any]) -> Any:
    """Load a `.keras` file in safe mode, without drawing weights that the file replaces.

    Drawing them compiles a program for each shape of weights, which takes longer than a prediction.

    Raises:
        ValueError: If it is not a `.keras` file, or holds what safe mode refuses.
    """
    import keras

    try:
        with zipfile.ZipFile(file) as archive:
            has_assets = any(name.startswith("assets/") for name in archive.namelist())
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{file.name} is not a file in Keras's format: {error}") from None
    if has_assets:  # of layers with a vocabulary; `load_weights` leaves them out
        return keras.models.load_model(file, safe_mode=True, compile=False, custom_objects=trusted)
    config = _draw_nothing({**config, "compile_config": None})
    network = keras.saving.deserialize_keras_object(config, custom_objects=trusted, safe_mode=True)
    network.load_weights(file)
    return network


def _draw_nothing(config: Any) -> Any:
    """Replace the initializers in a network's configuration by zeros."""
    if isinstance(config, list):
        return [_draw_nothing(part) for part in config]
    if not isinstance(config, dict):
        return config
    if config.get("module") == "keras.initializers":
        return {**config, "class_name": "Zeros", "config": {}}
    return {key: _draw_nothing(part) for key, part in config.items()}


def _trust_code(files: Mapping[str, Path]) -> dict[str, Any]:
    """Return the layer that runs the user's files, which the study's owner declared as trusted."""
    module = _import_code(files["model"].parents[1] / "code", ("user_network",))["user_network"]
    find = functools.partial(module.load_packed_object, files["user_code"])
    return {module.LAYER: module.make_layer_class(find)}


def _import_code(folder: Path, names: Sequence[str] = CODE) -> dict[str, Any]:
    """Import the modules beside this model, even if another model was opened before.

    Python would otherwise reuse the first model's `hpsearch_schema` for a second model, which
    another version may have saved.
    """
    modules = [path.stem for path in folder.glob("hpsearch_*.py")]
    sys.path.insert(0, str(folder))
    for module in modules:
        sys.modules.pop(module, None)
    try:
        return {name: importlib.import_module(f"hpsearch_{name}") for name in names}
    finally:
        sys.path.remove(str(folder))
        for module in modules:
            sys.modules.pop(module, None)


def _warn_unknown(unknown: Mapping[str, Counter[str]], n_rows: int) -> None:
    """Log the number of cells of unknown categories in each column."""
    counts = []
    for name, found in list(unknown.items())[:MOST_SHOWN]:
        some = ", ".join(f"{text[:40]!r} {n}" for text, n in found.most_common(MOST_SHOWN))
        counts.append(f"{name!r} {found.total()} ({some}{', …' * (len(found) > MOST_SHOWN)})")
    counts += [f"and {len(unknown) - MOST_SHOWN} columns more"] * (len(unknown) > MOST_SHOWN)
    logging.getLogger("hpsearch.served_model").warning(
        "cells of unknown categories, which count as none, in %d rows: %s",
        n_rows,
        "; ".join(counts),
    )


def _serve_csv(schema: Any, code: Mapping[str, Any]) -> None:
    """Make MLflow's scoring server parse text/csv in the same way as training.

    The server parses the body by the signature's types; it cannot parse the type `any`, so it would
    refuse every such request. Does nothing outside the server.
    """
    server: Any = sys.modules.get("mlflow.pyfunc.scoring_server")
    if server is None or schema.shape:
        return
    parse_before = getattr(server.parse_csv_input, "before", server.parse_csv_input)

    def parse_csv_input(csv_input: Any, schema_of_input: Any = None, **options: Any) -> Any:
        taken = options.get("schema", schema_of_input)
        if taken is None or taken.input_names() != list(schema.raw_columns):
            return parse_before(csv_input, taken)
        return _read_csv(csv_input.read().encode(), schema, code)

    parse_csv_input.before = parse_before  # type: ignore[attr-defined]
    server.parse_csv_input = parse_csv_input


def _read_csv(content: bytes, schema: Any, code: Mapping[str, Any]) -> pd.DataFrame:
    """Parse the body of a request as texts."""
    import pandas as pd
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import BAD_REQUEST

    needed, reader = schema.raw_columns, code["delimited"]
    try:
        text = reader.DelimitedText(content)
        layout = schema.layout or code["columns"].Layout()
        head = reader.read_head(text, layout, needed=needed, targets=schema.target.names)
        code["column_cleaning"].require_columns(dict.fromkeys(head.names), needed)
        blocks = [block.to_pandas() for block in reader.read_texts(text, head, needed)]
    except ValueError as error:
        raise MlflowException(f"text/csv: {error}", error_code=BAD_REQUEST) from None
    if not blocks:
        return pd.DataFrame({name: [] for name in needed})
    return pd.concat(blocks, ignore_index=True)


def _choose_backend() -> None:
    """Select an installed backend; Keras' default is TensorFlow, installed or not."""
    if "keras" not in sys.modules and "KERAS_BACKEND" not in os.environ:
        installed = (b for b in ("jax", "tensorflow", "torch") if importlib.util.find_spec(b))
        os.environ["KERAS_BACKEND"] = next(installed, "jax")


if not WITHOUT_MLFLOW:
    set_model(ServedModel())
