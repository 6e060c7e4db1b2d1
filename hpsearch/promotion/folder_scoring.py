"""Predict the files of a folder, one file of predictions each, for `hpsearch predict FOLDER`.

The folder is read as `data.source` reads one: hidden and uncommitted files are left out, and the
partitions that folders name are columns. A record in the output folder tells which files were
predicted from which contents, so that a second run does only the rest.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.columns import CellCounts
from ..data.partitions import DataFile, find_data_files
from ..errors import DataError
from ..platforms.files import draft_of, publish_file, write_text
from .answer_files import PARQUET_SUFFIXES, open_answers
from .reference import Reference
from .registry import TAG, version_at
from .scoring import RowOptions, open_served_model, predict_rows

if TYPE_CHECKING:
    from mlflow import MlflowClient

RECORD = "_predictions.json"  # hidden from readers of tables
SUFFIXES = (".parquet", ".pq", ".csv", ".tsv", ".gz")


@dataclass(frozen=True, slots=True)
class FolderPrediction:
    """The predicted files of a folder."""

    files: int
    skipped: int  # predicted by an earlier run
    counts: CellCounts  # of the files of this run


def holds_tables(folder: Path) -> bool:
    """Whether a path is a folder with files of rows."""
    try:
        return folder.is_dir() and bool(find_data_files(".", folder, SUFFIXES))
    except DataError:
        return False


def predict_folder(
    client: MlflowClient,
    reference: Reference,
    source: Path,
    output: Path,
    options: RowOptions,
    *,
    overwrite: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> FolderPrediction:
    """Write the predictions for each file of `source` to a file of `output`.

    They are CSV files, or Parquet files if the name of `output` ends in .parquet.

    Args:
        client: Client of the store that has the model.
        reference: The registered model.
        source: A folder of CSV or Parquet files.
        output: The folder to write, which may hold what an interrupted run has written.
        options: As for `predict_file`.
        overwrite: Whether files that another model or other options predicted are replaced.
        tell: Called with a line for each file.

    Raises:
        PromotionError: If there is no such model.
        DataError: If a file cannot be predicted, or `output` holds something else.
    """
    files = find_data_files(".", source, SUFFIXES)
    version = version_at(client, reference)
    made_by = {
        "model": reference.name,
        "sha256": "" if version is None else version.tags.get(f"{TAG}sha256", ""),
        "options": options.as_json(),
    }
    done = {} if overwrite else _read_done_files(output, made_by)
    named = [(file, _name_output(file, source, output)) for file in files]
    open_files = [(f, name) for f, name in named if done.get(name) != _describe_state(f.path)]
    counts = CellCounts()
    if open_files:
        output.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            served = open_served_model(client, reference, folder, options.interval)
            if served.schema.shape or served.schema.window is not None:
                raise DataError(f"{reference} takes arrays or windows: give one file of rows")
            for file, name in open_files:
                state = _describe_state(file.path)
                found = _predict_one_file(served, file, output / name, options)
                counts.add(found)
                done[name] = state
                write_text(output / RECORD, json.dumps(made_by | {"files": done}, indent=1))
                tell(f"{found.rows:,} rows to {output / name}")
    return FolderPrediction(len(files), len(files) - len(open_files), counts)


def _predict_one_file(served: Any, file: DataFile, target: Path, options: RowOptions) -> CellCounts:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(target)
    draft = draft.with_name(draft.name + target.suffix)  # it chooses the format
    try:
        with open_answers(draft) as answers:
            found = predict_rows(served, file.path, answers, options, file.partitions)
        publish_file(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    return found


def _name_output(file: DataFile, source: Path, output: Path) -> str:
    """Name the predictions of a file; Parquet files if the folder's name ends so."""
    name = file.path.relative_to(source).as_posix()
    if output.suffix not in PARQUET_SUFFIXES:
        return f"{name}.csv"
    return name if name.endswith(output.suffix) else f"{name}{output.suffix}"


def _describe_state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _read_done_files(output: Path, made_by: Mapping[str, Any]) -> dict[str, Sequence[int]]:
    """Read which files an earlier run has predicted, and that are still there.

    Raises:
        DataError: If the folder holds anything else.
    """
    if not output.exists() or not any(output.iterdir()):
        return {}
    try:
        record = json.loads((output / RECORD).read_text(encoding="utf-8"))
        files = dict(record.pop("files"))
    except (OSError, ValueError, KeyError, AttributeError):
        raise DataError(f"{output} holds other files: name another folder") from None
    if record != made_by:
        raise DataError(
            f"{output} holds the predictions of another model or of other options: name another "
            "folder, or replace them with --overwrite"
        )
    return {name: state for name, state in files.items() if (output / name).is_file()}
