"""Fetch the files of a registered model, and load the model without MLflow."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..compat.mlflow import registry_uri
from ..errors import PromotionError, redact_text
from ..tracking.artifact_store import limit_s3_requests, local_folder
from ..tracking.databricks import uses_catalog
from ..tracking.refusals import describe_refusal
from ..tracking.waiting import log_if_slow
from ..training.keras_import import import_keras
from .package import clean_folder, folder_sha256
from .permissions import experiment_permission
from .reference import Reference
from .registry import TAG, version_at

if TYPE_CHECKING:
    from mlflow import MlflowClient


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
