"""Predict files of any length with a promoted model, for `hpsearch predict`.

The file is processed in blocks, so memory use does not depend on its length. Cells are read as text
and cleaned by the model's own schema; the predictions are those of the MLflow model.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..compat.mlflow import registry_uri
from ..data.arrays import read_prediction_rows
from ..data.cells import factorize_codes
from ..data.column_cleaning import require_columns
from ..data.columns import CellCounts, Layout, RowWindow
from ..data.delimited import BLOCK_BYTES, DelimitedText, read_head, read_texts
from ..data.image_files import resolve_paths
from ..data.nested_columns import find_outer_column, flatten_columns
from ..data.prediction_intervals import bound_of_level
from ..data.schema import Schema
from ..data.source_table import normalize_column_types
from ..errors import DataError, HpsearchError, PromotionError, redact_text
from ..tracking.artifact_store import limit_s3_requests, local_folder
from ..tracking.databricks import uses_catalog
from ..tracking.refusals import describe_refusal
from ..tracking.waiting import log_if_slow
from ..training.keras_import import import_keras
from .answer_files import Answers, CsvAnswers, ParquetAnswers
from .package import clean_folder, folder_sha256
from .permissions import experiment_permission
from .reference import Reference
from .registry import TAG, version_at

if TYPE_CHECKING:
    from mlflow import MlflowClient

NO_PARTITIONS: Mapping[str, str | None] = MappingProxyType({})
MAX_SHOWN = 5  # listed unknown categories per column
MAX_LINES = 20  # listed columns
BATCH = 65536  # rows of a Parquet file read at once


def predict_file(
    client: MlflowClient,
    reference: Reference,
    source: Path,
    output: IO[str] | Answers,
    *,
    separator: str | None = None,
    keep: Sequence[str] = (),
    strict: bool = False,
    interval: float | None = None,
) -> Any:
    """Write the predictions for the rows of `source` to `output`, in order.

    Args:
        client: Client of the store that has the model.
        reference: The registered model.
        source: A CSV file (plain or gzipped) or a Parquet file with the model's raw columns. For a
            model of arrays, an NPY or NPZ file or a folder of images.
        output: Receives a header and one line per row; `open_answers` opens a Parquet file.
        separator: Separator of the CSV file; None: as in training, or inferred from its start.
        keep: Columns of the file to copy in front of the predictions.
        strict: Refuse files with missing cells or unknown categories before predicting.
        interval: Level of the prediction intervals, or sets of classes, to add; None: none.

    Returns:
        `data.schema.CellCounts`: numbers of rows, and of missing and unknown cells.

    Raises:
        PromotionError: If there is no such model, or it is damaged.
        DataError: If the file is ambiguous or damaged, or lacks a column.
    """
    if not source.exists():
        raise DataError(f"{source}: there is no such file")
    options = RowOptions(separator, tuple(keep), strict, interval)
    answers = output if isinstance(output, CsvAnswers | ParquetAnswers) else CsvAnswers(output)
    with tempfile.TemporaryDirectory() as folder:
        served = open_served_model(client, reference, folder, interval)
        if served.schema.shape:
            if keep:
                raise DataError(f"{reference} takes arrays, which have no column {keep[0]!r}")
            return CellCounts(_predict_arrays(served, source, answers, _options(interval)))
        if source.is_dir():
            raise DataError(f"{source} is a folder; the model takes a CSV or Parquet file")
        return predict_rows(served, source, answers, options)


@dataclass(frozen=True, slots=True)
class RowOptions:
    """Options of reading and answering the rows of a table; see `predict_file`."""

    separator: str | None = None
    keep: tuple[str, ...] = ()
    strict: bool = False
    interval: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "keep": list(self.keep)}


def open_served_model(
    client: MlflowClient, reference: Reference, folder: str, interval: float | None
) -> Any:
    """Fetch a model into `folder` and load it.

    Raises:
        PromotionError: If there is no such model, or it lacks the level `interval`.
    """
    served = load_served_folder(fetch_model(client, reference, folder), reference)
    _require_interval(served, reference, interval)
    return served


def predict_rows(
    served: Any,
    source: Path,
    output: Answers,
    options: RowOptions,
    partitions: Mapping[str, str | None] = NO_PARTITIONS,
) -> CellCounts:
    """Write the predictions for the rows of a CSV or Parquet file.

    Args:
        served: A model of a table.
        source: The file.
        output: Receives one row per row of the file.
        options: See `predict_file`.
        partitions: Columns that the file's folders name, with their values.

    Raises:
        DataError: If the file is ambiguous or damaged, or lacks a column.
    """
    # Converts the schema of models that an earlier version has packed.
    schema = Schema.from_json(served.schema.to_json())
    rows = RowFile(source, schema, options.separator, options.keep, partitions)
    if options.strict:
        _refuse_unknown_cells(rows)
    # Models of earlier versions have no `answer_columns`.
    is_plain = schema.window is None and not options.keep and hasattr(served, "answer_columns")
    predict = _predict_plain_rows if is_plain else _predict_rows
    return predict(served, rows, output, _options(options.interval))


def _options(interval: float | None) -> dict[str, float]:
    """Return the options of `ServedModel.answer`; models of earlier versions take none."""
    return {} if interval is None else {"interval": interval}


def _require_interval(served: Any, reference: Reference, interval: float | None) -> None:
    """Refuse a level that the model does not have, before any row is read.

    Raises:
        PromotionError: If the model lacks the level; the message lists its levels.
    """
    if interval is None:
        return
    try:
        bound_of_level(getattr(served.schema.target, "bounds", ()), interval)
    except ValueError as error:
        raise PromotionError(f"{reference}: --interval {interval:g}: {error}.") from None


def _predict_rows(
    served: Any, rows: RowFile, output: Answers, options: Mapping[str, float]
) -> CellCounts:
    """Write the predictions for a file's rows, in blocks."""
    import pyarrow as pa

    counts, window, earlier = CellCounts(), rows.schema.window, None
    counts_itself = window is None and "counts" in inspect.signature(served.answer).parameters
    n_rows = 0
    blocks = rows.read_blocks()
    if window is not None and window.ahead:  # rows reach into later blocks
        blocks = iter([pa.concat_tables(blocks)])
    for block in blocks:
        reached = block if earlier is None else pa.concat_tables([earlier, block])
        try:
            if counts_itself:
                answer = served.answer(reached, counts, **options)
            else:
                rows.schema.clean(block, counts)
                answer = served.answer(reached, **options)
        except (ValueError, DataError) as error:
            raise DataError(f"{rows.source}, after row {n_rows}: {error}") from None
        answer = _add_kept_columns(answer.tail(block.num_rows), block, rows.keep)
        output.write_frame(answer, {name: block[name] for name in rows.keep})
        n_rows += block.num_rows
        earlier = None if window is None else _context_rows(reached, window)
    return counts


def _predict_plain_rows(
    served: Any, rows: RowFile, output: Answers, options: Mapping[str, float]
) -> CellCounts:
    """Do the same without pandas, which takes half a second to import."""
    counts, n_rows = CellCounts(), 0
    for block in rows.read_blocks():
        try:
            columns = served.answer_columns(block, counts, **options)
        except (ValueError, DataError) as error:
            raise DataError(f"{rows.source}, after row {n_rows}: {error}") from None
        output.write(columns)
        n_rows += block.num_rows
    return counts


def _add_kept_columns(answer: Any, block: Any, keep: Sequence[str]) -> Any:
    """Insert the kept columns in front of the predictions."""
    for index, name in enumerate(keep):
        if name in answer.columns:
            raise DataError(
                f"--keep {name}: the predictions have a column of that name; rename yours"
            )
        answer.insert(index, name, block[name].to_pandas().to_numpy())
    return answer


def _refuse_unknown_cells(rows: RowFile) -> None:
    """Refuse rows with missing cells or unknown categories.

    Raises:
        DataError: If there are any; the message counts them by column.
    """
    counts = CellCounts()
    for block in rows.read_blocks():
        try:
            rows.schema.clean(block, counts)
        except (ValueError, DataError) as error:
            raise DataError(f"{rows.source}, after row {counts.rows}: {error}") from None
    if found := describe_counts(counts):
        raise DataError("\n".join(f"{rows.source}: {line}" for line in found))


def describe_counts(counts: CellCounts) -> list[str]:
    """Describe missing and unknown cells, one line per column."""
    lines = []
    for name, categories in counts.unknown.items():
        shown = ", ".join(f"{text!r} {n}" for text, n in categories.most_common(MAX_SHOWN))
        more = ", …" if len(categories) > MAX_SHOWN else ""
        cells = sum(categories.values())
        lines.append(f"{name}: {cells:,} cells of categories that are unknown: {shown}{more}")
    lines += [f"{name}: {n:,} cells missing" for name, n in counts.missing.items()]
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"and {len(lines) - MAX_LINES} more"]
    return lines


def _context_rows(table: Any, window: RowWindow) -> Any:
    """Return the rows of each series that windows of later rows can reach."""
    series = np.zeros(table.num_rows) if window.by == "" else factorize_codes(table[window.by])
    order = np.argsort(series, kind="stable")
    ends = np.searchsorted(series[order], series[order], side="right")
    kept = order[ends - np.arange(len(order)) < window.rows + window.horizon]
    return table.take(np.sort(kept))


def _predict_arrays(
    served: Any, source: Path, output: Answers, options: Mapping[str, float]
) -> int:
    """Write the predictions for arrays, all in memory; images get a column of file names."""
    try:
        rows, names = read_prediction_rows(source, served.schema.shape)
        answer = served.answer(rows, **options)
    except ValueError as error:
        raise DataError(f"{source}: {error}") from None
    if names:
        answer.insert(0, "file", names)
    output.write_frame(answer, {})
    return len(answer)


def load_served_folder(path: Path, name: Reference | Path) -> Any:
    """Load the `served_model.ServedModel` in a folder, with a Keras import limited to inference.

    Args:
        path: The folder.
        name: The model's name in errors.

    Raises:
        PromotionError: If it cannot be opened.
    """
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import_keras()
    return load_served(path, name)


def load_served(path: Path, reference: Reference | Path) -> Any:
    """Load the `served_model.ServedModel` in a folder that `fetch_model` returned.

    Raises:
        PromotionError: If it cannot be opened.
    """
    try:
        module = _run_model_code(path / "served_model.py")
        served = module.ServedModel()
        artifacts = {file.stem: str(file) for file in (path / "artifacts").iterdir()}
        served.load_context(SimpleNamespace(artifacts=artifacts))
    except (OSError, KeyError, TypeError, ValueError) as error:  # Keras raises the last two
        raise PromotionError(f"{reference} cannot be opened: {error}") from error
    return served


def _run_model_code(file: Path) -> Any:
    """Run the model's own `served_model.py`, whose digest was checked, without MLflow.

    Models of earlier versions import MLflow nevertheless, which takes some seconds.
    """
    spec = importlib.util.spec_from_file_location("hpsearch_served_model", file)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    module.WITHOUT_MLFLOW = True
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def fetch_model(client: MlflowClient, reference: Reference, folder: str) -> Path:
    """Copy the MLflow model of a reference to `folder`, and check the digest of its files.

    The digest covers the network, the schema and the Python files that MLflow runs.

    Raises:
        PromotionError: If there is no such model, it is damaged, or hpsearch did not make it.
    """
    version = version_at(client, reference)
    if version is None:
        raise PromotionError(
            f"there is no {reference}. `hpsearch models` lists the registered models; "
            f"`hpsearch promote STUDY --as {reference}` registers one."
        )
    if f"{TAG}sha256" not in version.tags:
        raise PromotionError(f"{reference} (version {version.version}) was not made by hpsearch.")
    try:
        uri = (
            f"models:/{reference.name}/{version.version}"  # by credentials that the catalog lends
            if uses_catalog(client)
            else client.get_model_version_download_uri(reference.name, version.version)
        )
        limit_s3_requests(uri)
        with log_if_slow(f"the files of {reference}, {_describe_location(uri, client)}"):
            path = _fetch_files(uri, folder, client)
        found = folder_sha256(clean_folder(path))
    except Exception as error:  # every artifact store raises its own kind
        needs = experiment_permission("READ", version.tags.get(f"{TAG}study", ""))
        reason = describe_refusal(error, needs=needs)
        raise PromotionError(f"{reference} cannot be fetched: {reason}") from error
    if found != version.tags[f"{TAG}sha256"]:
        raise PromotionError(
            f"{reference} (version {version.version}) differs from the promoted model: "
            "one of its files has changed. Promote it again from its study."
        )
    return path


def _fetch_files(uri: str, folder: str, client: MlflowClient) -> Path:
    """Copy a folder of artifacts; MLflow is imported only for remote stores."""
    if (source := local_folder(uri)) is not None:
        return Path(shutil.copytree(source, Path(folder) / source.name, dirs_exist_ok=True))
    from mlflow.artifacts import download_artifacts

    where = {"tracking_uri": client.tracking_uri}
    if uri.startswith("models:"):
        where["registry_uri"] = registry_uri(client)
    return Path(download_artifacts(uri, dst_path=folder, **where))


def _describe_location(uri: str, client: MlflowClient) -> str:
    """Describe the location of files for messages."""
    by_server = uri.startswith(("mlflow-artifacts:", "http:", "https:"))
    return f"from {redact_text(client.tracking_uri if by_server else uri)}"


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file of rows to predict."""

    source: Path
    schema: Schema
    separator: str | None
    keep: tuple[str, ...]
    partitions: Mapping[str, str | None] = field(default_factory=dict)  # columns not in the file

    def read_blocks(self) -> Iterator[Any]:
        """Read the needed columns as Arrow tables, block by block.

        Raises:
            DataError: If the file is damaged, ragged or lacks a column.
        """
        import pyarrow as pa

        try:
            with self.source.open("rb") as file:
                is_parquet = file.read(4) == b"PAR1"
            block = None
            for block in self._read_parquet() if is_parquet else self._read_delimited():
                found = resolve_paths(block, self._image_columns, self.source.parent)
                yield self._add_partitions(found)
            if block is None:  # without rows, only the header is written
                nothing = {name: pa.array([], pa.string()) for name in self._needed_columns}
                yield self._add_partitions(pa.table(nothing))
        except HpsearchError as error:
            raise DataError(f"{self.source}: {error}") from None
        except (pa.ArrowInvalid, OSError, EOFError, UnicodeDecodeError) as error:
            raise DataError(f"{self.source}: {str(error).splitlines()[0]}") from None

    @property
    def _image_columns(self) -> list[str]:
        """Columns of paths, which are relative to the file."""
        return [c.raw_name for c in self.schema.columns if c.kind == "image"]

    @property
    def _needed_columns(self) -> list[str]:
        names = dict.fromkeys([*self.schema.raw_columns, *self.keep])
        return [name for name in names if name not in self.partitions]

    def _add_partitions(self, block: Any) -> Any:
        """Append the needed columns that the file's folders name."""
        import pyarrow as pa

        for name in dict.fromkeys([*self.schema.raw_columns, *self.keep]):
            if name in self.partitions:
                values = pa.repeat(pa.scalar(self.partitions[name], pa.string()), block.num_rows)
                block = block.append_column(name, values)
        return block

    def _read_parquet(self) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import parquet

        with parquet.ParquetFile(self.source) as file:
            there, needed = file.schema_arrow.names, self._needed_columns
            outer = list(dict.fromkeys(find_outer_column(name, there) for name in needed))
            require_columns(dict.fromkeys(there), outer)
            for batch in file.iter_batches(BATCH, columns=outer):
                table = flatten_columns(pa.Table.from_batches([batch]), needed)
                require_columns(dict.fromkeys(table.column_names), needed)
                yield normalize_column_types(table.select(needed))

    def _read_delimited(self) -> Iterator[Any]:
        text, needed = DelimitedText(self.source), self._needed_columns
        head = read_head(
            text,
            self.schema.layout or Layout(),
            needed=needed,
            targets=self.schema.target.names if self.schema.target else (),
            separator=self.separator,
        )
        require_columns(dict.fromkeys(head.names), needed)
        yield from read_texts(text, head, needed, BLOCK_BYTES)
