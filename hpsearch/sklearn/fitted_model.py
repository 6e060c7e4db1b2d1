"""Store the served model of a fitted estimator as bytes, so that it does not depend on files."""

from __future__ import annotations

import io
import shutil
import tempfile
import weakref
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..promotion.model_loading import load_served_folder

# Loaded models. Not stored in the estimator, since predicting must not change its state.
_OPENED: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def pack_folder(folder: Path) -> bytes:
    """Pack the files of a served model."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder).as_posix())
    return packed.getvalue()


def answer_rows(estimator: Any, rows: Any) -> Any:
    """Predict raw rows with the model that `estimator` holds; see `ServedModel.answer`."""
    packed = estimator.model_bytes_
    if estimator not in _OPENED or _OPENED[estimator][0] is not packed:
        folder = Path(tempfile.mkdtemp(prefix="hpsearch-"))
        weakref.finalize(estimator, shutil.rmtree, folder, ignore_errors=True)
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            archive.extractall(folder)
        _OPENED[estimator] = (packed, load_served_folder(folder, folder))
    return _OPENED[estimator][1].answer(rows)


def list_cv_results(table: Any) -> dict[str, Any]:
    """Convert a study's table of trials to `cv_results_`: an array per column, by trial."""
    ordered = table.sort_values("trial", ignore_index=True)
    names = [name for name in ordered if name.startswith("param_")]
    results: dict[str, Any] = {
        "params": [
            {
                name.removeprefix("param_"): value
                for name, value in zip(names, row, strict=True)
                if not (value is None or value != value)
            }
            for row in ordered[names].itertuples(index=False)
        ]
    }
    for name in ordered:
        if name in names:
            values = ordered[name].to_numpy(dtype=object)
            results[name] = np.ma.masked_array(values, mask=[v is None or v != v for v in values])
        else:
            results[name] = ordered[name].to_numpy()
    return results
