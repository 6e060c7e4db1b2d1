"""Predict files of any length with a promoted model, for `hpsearch predict`.

The file is processed in blocks, so memory use does not depend on its length. Cells are read as text
and cleaned by the model's own schema; the predictions are those of the MLflow model.
"""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..data.arrays import read_prediction_rows
from ..data.cells import factorize_codes
from ..data.columns import CellCounts, RowWindow
from ..data.prediction_intervals import bound_of_level
from ..data.schema import Schema
from ..errors import DataError, PromotionError
from .answer_files import Answers, CsvAnswers, ParquetAnswers
from .model_loading import fetch_model, load_served_folder
from .reference import Reference
from .row_file import RowFile

if TYPE_CHECKING:
    from mlflow import MlflowClient

NO_PARTITIONS: Mapping[str, str | None] = MappingProxyType({})
MAX_SHOWN = 5  # listed unknown categories per column
MAX_LINES = 20  # listed columns


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
