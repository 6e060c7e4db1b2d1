"""The files of a study's run that a promotion needs: winner and locked predictions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..compat.mlflow import registry_uri
from ..errors import PromotionError
from ..tracking.artifact_store import list_run_files
from ..tracking.databricks import is_databricks
from ..tracking.mlflow_layout import STUDY_TAG
from ..tracking.refusals import error_code, http_status
from ..tracking.store import get_experiment_id, is_server
from .gate import HoldoutPredictions, NotBetterError, read_holdout_predictions
from .package import clean_folder, folder_sha256, sha256
from .packed_code import NOT_PACKED

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Artifacts of a study's run: the folder of its final fit, which a resumed study replaces, and below
# KEPT a copy of each registered one.
FINAL, KEPT = "final", "promoted"
MODEL, PREDICTIONS = "model", "predictions.npz"  # in either


def read_lineage(client: MlflowClient, run_id: str) -> dict[str, str]:
    """Read the lineage of the packed model."""
    with tempfile.TemporaryDirectory() as folder:
        run = client.get_run(run_id)
        found = {file.path for file in list_run_files(client, run_id, FINAL)}
        if f"{FINAL}/{MODEL}" not in found and f"{FINAL}/{NOT_PACKED}" in found:
            reason = Path(client.download_artifacts(run_id, f"{FINAL}/{NOT_PACKED}", folder))
            raise PromotionError(reason.read_text(encoding="utf-8").strip())
        if f"{FINAL}/{MODEL}" not in found:
            raise PromotionError(
                f"run {run_id} has no fitted winner ({FINAL}/{MODEL}). Let the study end, or "
                "wait until its files have been uploaded: hpsearch tune SPEC continues the study."
            )
        model = Path(client.download_artifacts(run_id, f"{FINAL}/{MODEL}", folder))
        plain = read_metadata(model / "MLmodel")
        _require_intact(model / "artifacts")
        digest = folder_sha256(clean_folder(model))
    flat = {k: v for k, v in plain.items() if not isinstance(v, Mapping)}
    flat |= {f"test.{k}": v for k, v in plain.get("test", {}).items()}
    if code := plain.get("code"):
        flat["code"] = ", ".join(f"{name} {sha[:12]}" for name, sha in code.items())
    if renamed := run.data.tags.get(STUDY_TAG):
        flat["study"] = renamed
    return {
        **{key: str(value) for key, value in flat.items()},
        "run": run_id,
        "experiment": str(run.info.experiment_id),
        "sha256": digest,
    }


def read_metadata(file: Path) -> dict[str, Any]:
    """Read the metadata of an MLflow model; its file is YAML 1.1, as MLflow writes it."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe")
    yaml.version = (1, 1)
    return yaml.load(file).get("metadata") or {}


def _require_intact(artifacts: Path) -> None:
    """Refuse a network that differs from the one that the study saved."""
    digests = json.loads((artifacts / "digests.json").read_text(encoding="utf-8"))
    if sha256(artifacts / "model.keras") != digests["model"]:
        raise PromotionError(
            "the study's model.keras is damaged: it is not the file that was saved. `hpsearch "
            "sync STUDY` sends MLflow what it lacks; `hpsearch tune SPEC --fresh` starts over."
        )


def read_run_holdout(
    client: MlflowClient, run_id: str, artifact_path: str, folder: Path
) -> HoldoutPredictions:
    folder.mkdir()
    try:
        path = client.download_artifacts(run_id, f"{artifact_path}/{PREDICTIONS}", str(folder))
    except Exception as error:  # of MLflow, or an OSError
        is_known = isinstance(error, OSError) or error_code(error) is not None
        if not is_known or http_status(error) in (401, 403):
            raise
        raise NotBetterError(
            f"challenger and champion cannot be compared: the {folder.name}'s study kept no "
            "predictions for locked rows (data.test_fraction)."
        ) from None
    return read_holdout_predictions(Path(path))


def copy_final_fit(client: MlflowClient, run_id: str, artifact_path: str) -> None:
    """Copy the final fit to a folder that a resumed study does not replace."""
    with tempfile.TemporaryDirectory() as folder:
        final = Path(client.download_artifacts(run_id, FINAL, folder))
        client.log_artifacts(run_id, str(clean_folder(final / MODEL)), f"{artifact_path}/{MODEL}")
        if (final / PREDICTIONS).exists():
            client.log_artifact(run_id, str(final / PREDICTIONS), artifact_path)


def copied_folder(digest: str) -> str:
    return f"{KEPT}/{digest[:16]}"


def locate_model_files(
    client: MlflowClient, run_id: str, artifact_path: str, study: str
) -> tuple[str, str]:
    """Locate the model's files for the registry; also returns the run that owns them.

    A registry on another server than the study's run cannot refer to its files, so it gets a copy
    in a run of its own.
    """
    run = client.get_run(run_id)
    tracking, registry = client.tracking_uri, registry_uri(client)
    if registry == tracking or not is_server(registry) or is_databricks(registry):
        return f"{run.info.artifact_uri}/{artifact_path}/{MODEL}", run_id
    from mlflow import MlflowClient

    other = MlflowClient(tracking_uri=registry)
    tags = {"hpsearch.kind": "model", "hpsearch.copy_of": run_id}
    copy = other.create_run(get_experiment_id(other, study, None), tags=tags, run_name=study)
    with tempfile.TemporaryDirectory() as folder:
        model = client.download_artifacts(run_id, f"{artifact_path}/{MODEL}", folder)
        other.log_artifacts(copy.info.run_id, model, MODEL)
    other.set_terminated(copy.info.run_id)
    return f"{copy.info.artifact_uri}/{MODEL}", str(copy.info.run_id)
