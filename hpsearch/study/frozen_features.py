"""Pass the images of a column once through a frozen model, for all trials and folds.

The outputs are kept below `mlruns/features`, named by a digest of the model, the images and Keras's
version, so that a resumed study, or another one of the same images, reads them.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np

from ..data import Dataset
from ..data.columns import Column
from ..data.dataset import TestRows
from ..data.schema import Schema
from ..errors import SpecError
from ..execution.inspection_process import compute_features_in_process
from ..models.backbone import compute_file_digest
from ..spec.data_spec import DataSpec
from ..tracking.store import features_folder
from ..training.backbone_features import FeatureRequest

MAX_FILES = 8  # the newest ones are kept


def find_backbones(data: DataSpec, folder: Path) -> dict[str, Path]:
    """Return the file of each column's frozen model.

    Raises:
        SpecError: If one does not exist.
    """
    found = {n: folder / c.backbone for n, c in data.columns.items() if c.backbone}
    for name, path in found.items():
        if not path.is_file():
            raise SpecError(f"data.columns.{name}.backbone: {path} is not a file")
    return found


def apply_backbones(dataset: Dataset, data: DataSpec, folder: Path, root: Path) -> Dataset:
    """Replace the images of a data set by the outputs of their frozen models.

    Args:
        dataset: The data set, whose images are pixels.
        data: The declaration.
        folder: Base of the models' paths.
        root: The folder with `mlruns/`.

    Raises:
        SpecError: If a model does not exist, is no Keras file, or does not take the images.
    """
    backbones = find_backbones(data, folder)
    if not backbones:
        return dataset
    columns, pieces, notes = [], [], list(dataset.notes)
    digests = {name: compute_file_digest(path) for name, path in backbones.items()}
    for column, start in dataset.schema.iter_cleaned():
        piece = dataset.columns[:, start : start + column.n_cleaned]
        if column.name in backbones:
            path, digest = backbones[column.name], digests[column.name]
            piece, note = _load_features(column, piece, path, digest, features_folder(root))
            column = replace(column, backbone=digest, width=piece.shape[1])
            notes.append(note)
        columns.append(column)
        pieces.append(piece)
    known = f"{dataset.fingerprint} {sorted(digests.items())}"
    return replace(
        dataset,
        schema=replace(dataset.schema, columns=tuple(columns)),
        columns=np.concatenate(pieces, axis=1),
        fingerprint=hashlib.sha256(known.encode()).hexdigest(),
        notes=tuple(notes),
        backbones={name: path.resolve() for name, path in backbones.items()},
    )


def pass_locked_rows(dataset: Dataset, locked: TestRows) -> tuple[Schema, TestRows]:
    """Replace the images of locked rows by the outputs of their frozen models, for baselines.

    Nothing is kept on disk.

    Returns:
        The schema of the columns, and the rows; the given ones if there is no frozen model.
    """
    if not dataset.backbones:
        return dataset.schema, locked
    pieces = []
    with tempfile.TemporaryDirectory() as folder:
        for column, start in dataset.schema.iter_cleaned():
            piece = locked.columns[:, start : start + column.n_cleaned]
            path = dataset.backbones.get(column.name)
            if path is not None:
                piece, _ = _load_features(column, piece, path, column.backbone, Path(folder))
            pieces.append(piece)
    columns = np.concatenate(pieces, axis=1)
    return dataset.schema.after_backbones, replace(locked, columns=columns)


def _load_features(
    column: Column, pixels: np.ndarray, path: Path, digest: str, folder: Path
) -> tuple[np.ndarray, str]:
    """Read the outputs of a frozen model, or compute them; with a note for the user."""
    known = hashlib.sha256(f"{digest} {column.shape} keras {metadata.version('keras')}".encode())
    known.update(np.ascontiguousarray(pixels).data)
    file = folder / f"{known.hexdigest()}.npy"
    how = "read from an earlier run"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        request = FeatureRequest(
            column=column.name,
            backbone=path.resolve(),
            digest=digest,
            pixels=np.nan_to_num(pixels),
            shape=column.shape,
            output=file.resolve(),
        )
        compute_features_in_process(request)
        _remove_oldest(folder)
        how = "computed once"
    features: np.ndarray = np.load(file, allow_pickle=False)
    note = f"{column.name}: {features.shape[1]:,} numbers of {path.name} for each image, {how}"
    return features, note


def _remove_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime)
    for old in files[:-MAX_FILES]:
        old.unlink(missing_ok=True)
