"""`hpsearch predict`: a promoted model's answers for a file of any length.

The file goes through in blocks, so memory does not grow with it. Cells are read as text and
cleaned by the model's own schema; the answers are those of the MLflow model.
"""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..data.arrays import arrays_in
from ..data.delimited import sniff_separator, unique_names
from ..data.schema import Window, distinct_places, require
from ..errors import DataError, HpsearchError, PromotionError
from ..tracking.refusals import described
from .package import as_saved, folder_sha256
from .permissions import of_experiment
from .reference import Reference
from .registry import TAG, version_at

if TYPE_CHECKING:
    from mlflow import MlflowClient

BLOCK = 8 << 20  # bytes of text read at once
BATCH = 65536  # rows of a Parquet file read at once


def predict(
    client: MlflowClient,
    reference: Reference,
    source: Path,
    output: IO[str],
    *,
    separator: str | None = None,
) -> int:
    """Write the answers for the rows of `source` to `output` as CSV, in their order.

    Args:
        client: Of the store that holds the model.
        reference: The registered model.
        source: A CSV file (plain or gzipped) or a Parquet file with the model's raw columns. For a
            model of arrays, an NPY or NPZ file or a folder of images.
        output: Gets a header and a line a row.
        separator: Of the CSV file; found out from its first lines where it is None.

    Returns:
        The number of rows.

    Raises:
        PromotionError: If there is no such model, or it is damaged.
        DataError: If the file cannot be read without guessing, or lacks a column.
    """
    if not source.exists():
        raise DataError(f"{source}: there is no such file")
    import pyarrow as pa

    with tempfile.TemporaryDirectory() as folder:
        served = open_served(client, reference, folder)
        if served.schema.shape:
            return _predict_arrays(served, source, output)
        if source.is_dir():
            raise DataError(f"{source} is a folder; the model takes a CSV or Parquet file")
        rows = 0
        window, earlier = served.schema.window, None
        for block in _blocks(source, served.schema.raw_columns, separator):
            reached = block if earlier is None else pa.concat_tables([earlier, block])
            try:
                answer = served.answer(_with_numbers(reached, served.schema))
            except ValueError as error:
                raise DataError(f"{source}, after row {rows}: {error}") from None
            answer = answer.tail(block.num_rows)
            answer.to_csv(output, header=rows == 0, index=False, lineterminator="\n")
            rows += block.num_rows
            earlier = None if window is None else _last_rows(reached, window)
    return rows


def _last_rows(table: Any, window: Window) -> Any:
    """The rows that windows of later rows can reach, of each series."""
    series = np.zeros(table.num_rows) if window.by == "" else distinct_places(table[window.by])
    order = np.argsort(series, kind="stable")
    ends = np.searchsorted(series[order], series[order], side="right")
    kept = order[ends - np.arange(len(order)) < window.rows + window.horizon]
    return table.take(np.sort(kept))


def _predict_arrays(served: Any, source: Path, output: IO[str]) -> int:
    """The answers for arrays, all in memory; those for a folder of images with their names."""
    try:
        rows, names = arrays_in(source, served.schema.shape)
        answer = served.answer(rows)
    except ValueError as error:
        raise DataError(f"{source}: {error}") from None
    if names:
        answer.insert(0, "file", names)
    answer.to_csv(output, header=True, index=False, lineterminator="\n")
    return len(answer)


def open_served(client: MlflowClient, reference: Reference, folder: str) -> Any:
    """The `served_model.ServedModel` behind a reference.

    Args:
        client: Of the store that holds the model.
        reference: The registered model.
        folder: Where its files go if they lie elsewhere; they must outlive the model.

    Raises:
        PromotionError: If there is no such model, it is damaged, or it is none of ours.
    """
    return load_served(fetch(client, reference, folder), reference)


def load_served(path: Path, reference: Reference) -> Any:
    """The `served_model.ServedModel` in a folder that `fetch` gave.

    Raises:
        PromotionError: If it cannot be opened.
    """
    from mlflow import pyfunc
    from mlflow.exceptions import MlflowException

    try:
        return pyfunc.load_model(str(path)).unwrap_python_model()
    except (MlflowException, OSError, TypeError, ValueError) as error:  # Keras raises the last two
        raise PromotionError(f"{reference} cannot be opened: {error}") from error


def fetch(client: MlflowClient, reference: Reference, folder: str) -> Path:
    """A copy of the MLflow model behind a reference, the digest of its files checked.

    The network, the schema and the Python files that MLflow runs are those that were promoted.

    Raises:
        PromotionError: If there is no such model, it is damaged, or it is none of ours.
    """
    from mlflow.artifacts import download_artifacts

    version = version_at(client, reference)
    if version is None:
        raise PromotionError(
            f"there is no {reference}. `hpsearch models` lists what there is; "
            f"hpsearch promote STUDY --as {reference} makes it."
        )
    if f"{TAG}sha256" not in version.tags:
        raise PromotionError(f"{reference} (version {version.version}) is no model of hpsearch's.")
    try:
        uri = client.get_model_version_download_uri(reference.name, version.version)
        path = Path(download_artifacts(uri, dst_path=folder, tracking_uri=client.tracking_uri))
        found = folder_sha256(as_saved(path))
    except Exception as error:  # every artifact store raises its own kind
        needs = of_experiment("READ", version.tags.get(f"{TAG}study", ""))
        told = described(error, needs=needs)
        raise PromotionError(f"{reference} cannot be fetched: {told}") from error
    if found != version.tags[f"{TAG}sha256"]:
        raise PromotionError(
            f"{reference} (version {version.version}) is not the model that was promoted: "
            "a file of it has changed. Promote it again from its study."
        )
    return path


def _blocks(source: Path, needed: tuple[str, ...], separator: str | None) -> Iterator[Any]:
    """The needed columns of the file, as Arrow tables of some rows each.

    Raises:
        DataError: If the file is damaged, ragged or lacks a column.
    """
    import pyarrow as pa

    reader = _parquet if source.suffix in (".parquet", ".pq") else _delimited
    try:
        block = None
        for block in reader(source, needed, separator):
            yield block
        if block is None:  # no rows: their answer is a header
            yield pa.table({name: pa.array([], pa.string()) for name in needed})
    except HpsearchError as error:
        raise DataError(f"{source}: {error}") from None
    except (pa.ArrowInvalid, OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: {str(error).splitlines()[0]}") from None


def _with_numbers(block: Any, schema: Any) -> Any:
    """The block with the texts of its numeric columns as numbers, where they all are.

    `Schema.clean` would say the same of each text, but one at a time.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for column in schema.columns:
        texts = block[column.raw]
        plain = column.kind == "numeric" and not (column.part or column.missing or column.replace)
        if not plain or not pa.types.is_string(texts.type):
            continue
        blank = pc.equal(texts, "")
        try:
            numbers = pc.if_else(blank, None, texts).cast(pa.float64())
        except pa.ArrowInvalid:
            continue
        place = block.column_names.index(column.raw)
        block = block.set_column(place, column.raw, numbers)
    return block


def _parquet(source: Path, needed: tuple[str, ...], separator: str | None) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import parquet

    with parquet.ParquetFile(source) as file:
        require(dict.fromkeys(file.schema_arrow.names), needed)
        for batch in file.iter_batches(BATCH, columns=list(needed)):
            yield pa.Table.from_batches([batch])


def _delimited(source: Path, needed: tuple[str, ...], separator: str | None) -> Iterator[Any]:
    import pyarrow as pa
    from pyarrow import csv as arrow

    with pa.input_stream(source) as stream:
        sample = stream.read(1 << 20).removeprefix(b"\xef\xbb\xbf")
    if not sample.strip():
        raise DataError("the file is empty")
    separator = separator or sniff_separator(sample)
    header, _, rest = sample.partition(b"\n")
    (fields,) = csv.reader([header.decode().rstrip("\r")], delimiter=separator)
    names = unique_names([name.strip() for name in fields])
    require(dict.fromkeys(names), needed)
    if not rest.strip():
        return
    options = arrow.ConvertOptions(
        column_types={name: pa.string() for name in needed},
        include_columns=list(needed),
        strings_can_be_null=False,
    )
    with pa.input_stream(source) as stream:
        yield from (
            pa.Table.from_batches([batch])
            for batch in arrow.open_csv(
                stream,
                arrow.ReadOptions(
                    column_names=names, skip_rows=1, block_size=BLOCK, use_threads=False
                ),
                arrow.ParseOptions(delimiter=separator, newlines_in_values=True),
                options,
            )
            if batch.num_rows
        )
