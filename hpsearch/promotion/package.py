"""Package a study's winner as the MLflow model that is promoted and served.

Writes a folder, which may be uploaded repeatedly.
"""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import models
from ..data import schema as schema_module
from ..data.columns import Column
from ..data.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

MODEL_FOLDER = "model"  # in the folder of the final fit
EXAMPLE_ROWS = 3
# Modules of data/ that are copied beside a model.
CODE = (
    *("cells", "vocabulary", "text_tokens", "image_cells", "columns"),
    "column_cleaning",
    "target_encoding",
    *("prediction_intervals", "schema", "delimited"),
)
# All that a server needs besides MLflow; if not given, MLflow infers them in half a minute.
# A pixel, as the example of an image; servers that read JSON receive images in this way.
BLACK_IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQ"
    "AAAABJRU5ErkJggg=="
)
REQUIREMENTS = ("keras", "jax", "numpy", "pandas")


@dataclass(frozen=True, slots=True)
class Lineage:
    """The origin of a model; stored with it and shown in the registry."""

    study: str
    trial: int
    fingerprint: str  # of the data
    metric: str  # the study's objective
    score: float  # mean over the folds of the search
    spread: float  # standard deviation over the folds
    epochs: int  # epochs of the final fit
    test: Mapping[str, float]  # metrics on the locked rows
    verdict: str = ""  # comparison with the baselines on the locked rows
    ensemble: str = ""  # its trials with their weights; "": `trial` alone
    code: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of the user's files by name


def save_served_model(
    path: Path,
    *,
    model: Path,
    schema: Schema,
    columns: np.ndarray,
    lineage: Lineage,
    user_code: Mapping[str, Path] | None = None,
) -> None:
    """Write the MLflow model to `path`, which must not exist.

    Args:
        path: The folder to make.
        model: The assembled network's `.keras` file.
        schema: The schema of the columns.
        columns: Cleaned rows for the input example, (n, n_columns) or (n, *shape).
        lineage: The model's origin, stored with it.
        user_code: The user's files that the network needs, by name; None: it needs none.
    """
    from mlflow import pyfunc

    code_digests = {name: sha256(file) for name, file in (user_code or {}).items()}

    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / name for name in ("schema.json", "digests.json")}
        files["schema.json"].write_text(json.dumps(schema.to_json()), encoding="utf-8")
        digests: dict[str, Any] = {"model": sha256(model), "schema": sha256(files["schema.json"])}
        more = {}
        if user_code is not None:
            digests["user_code"] = code_digests
            more["user_code"] = str(_copy_code(user_code, Path(folder) / "user_code"))
        files["digests.json"].write_text(json.dumps(digests), encoding="utf-8")
        code = [Path(folder) / f"hpsearch_{name}.py" for name in CODE]
        for copy, name in zip(code, CODE, strict=True):
            shutil.copyfile(Path(schema_module.__file__).with_name(f"{name}.py"), copy)
        if user_code is not None:
            for name in ("named_inputs", "user_network"):
                code.append(Path(folder) / f"hpsearch_{name}.py")
                shutil.copyfile(Path(models.__file__).with_name(f"{name}.py"), code[-1])
        with _silence_mlflow(), _unwrap_os_errors():
            pyfunc.save_model(
                path,
                python_model=str(Path(__file__).with_name("served_model.py")),
                artifacts={
                    "model": str(model),
                    "schema": str(files["schema.json"]),
                    "digests": str(files["digests.json"]),
                    **more,
                },
                code_paths=[str(copy) for copy in code],
                signature=_make_signature(schema),
                input_example=example_rows(schema, columns),
                pip_requirements=_pip_requirements(
                    user_code or {}, takes_images=any(c.kind == "image" for c in schema.columns)
                ),
                metadata=asdict(replace(lineage, code=code_digests)),
            )


def _copy_code(files: Mapping[str, Path], folder: Path) -> Path:
    for name, file in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / name)
    return folder


@contextmanager
def _unwrap_os_errors() -> Iterator[None]:
    """Raise the OSError that MLflow wraps in its own exception."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise


@contextmanager
def _silence_mlflow() -> Iterator[None]:
    """Suppress MLflow's progress bar and its message that the example fits the signature."""
    bar, logger = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", logging.getLogger("mlflow.pyfunc")
    before, level = os.environ.get(bar), logger.level
    os.environ[bar] = "false"
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
        if before is None:
            del os.environ[bar]
        else:
            os.environ[bar] = before


def sha256(path: Path) -> str:
    """Compute the hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """Compute the hexadecimal digest of all files below `folder` and their names."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{sha256(path)} {path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def clean_folder(folder: Path) -> Path:
    """Remove the files that loading the model has left in `folder`, and return `folder`.

    These are MLflow's version file and compiled Python files. Python would run the latter instead
    of the sources, whose digest is known.
    """
    (folder / "registered_model_meta").unlink(missing_ok=True)
    for cache in sorted(folder.rglob("__pycache__")):
        shutil.rmtree(cache)
    return folder


def example_rows(schema: Schema, columns: np.ndarray) -> pd.DataFrame | np.ndarray:
    """Return a raw table that cleans to `columns`, as far as it can be reconstructed; or an array.

    Args:
        schema: The schema of the columns.
        columns: Cleaned rows, (n, n_columns) or (n, *shape).
    """
    import pandas as pd

    if schema.shape:
        return columns
    raw: dict[str, list[Any]] = {}
    for column, start in schema.iter_cleaned():
        if column.kind == "image":
            cells: list[Any] = [BLACK_IMAGE] * len(columns)
        else:
            cells = [_raw_cell(column, float(v)) for v in columns[:, start]]
        raw.setdefault(column.raw_name, cells)
    for name in schema.raw_columns:  # the only raw column that is not a feature: the series' name
        raw.setdefault(name, ["one"] * len(columns))
    return pd.DataFrame(raw)


def _raw_cell(column: Column, value: float) -> Any:
    if np.isnan(value):
        return None
    if column.part:  # the other parts of the date are not known here
        return "2024-12-31 12:00:00"
    if column.buckets or column.kind == "text":
        return "text"
    if column.kind == "categorical":
        return column.vocabulary[int(value)]
    if column.transform:
        return float({"log": np.exp, "log1p": np.expm1}[column.transform](value))
    return value


def _make_signature(schema: Schema) -> Any:
    """Make the signature; raw columns have any type: a cell may be a number, a text or missing."""
    from mlflow.models import ModelSignature
    from mlflow.types import schema as types

    takes: list[Any] = [types.ColSpec(types.AnyType(), name) for name in schema.raw_columns]
    if schema.shape:
        takes = [types.TensorSpec(np.dtype(schema.dtype), (-1, *schema.shape))]
    assert schema.target is not None
    if schema.target.kind == "multilabel":
        answers = []
        for part in schema.target.parts:
            answers.append(types.ColSpec(_label_type(part.classes), f"label_{part.name}"))
            answers.append(types.ColSpec("double", f"probability_{part.name}"))
    elif schema.target.parts:
        answers = [types.ColSpec("double", f"prediction_{n}") for n in schema.target.names]
    elif schema.target.kind == "regression":
        answers = [types.ColSpec("double", "prediction")]
    else:
        answers = [types.ColSpec(_label_type(schema.target.classes), "label")]
        answers += [types.ColSpec("double", f"probability_{c}") for c in schema.target.classes]
    takes_interval = None
    if schema.target.bounds:
        interval = types.ParamSpec("interval", types.DataType.double, None)
        takes_interval = types.ParamSchema([interval])
    return ModelSignature(types.Schema(takes), types.Schema(answers), takes_interval)


def _label_type(classes: Sequence[str | int]) -> str:
    return "long" if all(isinstance(c, int) for c in classes) else "string"


def _pip_requirements(user_code: Mapping[str, Path], *, takes_images: bool) -> list[str]:
    """List the requirements of a server, including packages imported by user code."""
    needed = dict.fromkeys(("mlflow", *REQUIREMENTS, *(("pillow",) if takes_images else ())))
    packages = metadata.packages_distributions() if user_code else {}
    for file in user_code.values():
        for module in _imported_packages(file):
            needed |= dict.fromkeys(packages.get(module, [])[:1])
    return [f"{name}=={metadata.version(name)}" for name in needed]


def _imported_packages(file: Path) -> Iterator[str]:
    """Yield the top-level packages that a Python file imports."""
    for node in ast.walk(ast.parse(file.read_bytes())) if file.suffix == ".py" else ():
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
