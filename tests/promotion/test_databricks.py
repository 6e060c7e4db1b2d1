"""A Databricks workspace: a server on loopback that refuses what one refuses.

MLflow's Databricks client and Databricks' SDK send the requests.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic
from click.testing import CliRunner
from managed_server import ManagedServer, managed_server
from mlflow import MlflowClient
from mlflow_server import TrackingServer

from hpsearch.cli import main
from hpsearch.errors import PromotionError, TrackingError
from hpsearch.promotion.model_loading import fetch_model
from hpsearch.promotion.reference import Reference
from hpsearch.promotion.registry import list_versions, promote_run, rollback_model
from hpsearch.tracking.databricks import _find_user, check_model_name
from hpsearch.tracking.store import check_uri, journal_path, limited_requests, open_store
from hpsearch.tracking.study_runs import find_study_run
from hpsearch.tracking.study_sync import sync_study, verify_study

from .conftest import Store


@pytest.fixture
def workspace(
    tracking_server: TrackingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ManagedServer]:
    with managed_server(tracking_server.uri, tmp_path / "files", is_workspace=True) as server:
        monkeypatch.setenv("DATABRICKS_HOST", server.uri)
        monkeypatch.setenv("DATABRICKS_TOKEN", server.token)
        _find_user.cache_clear()
        yield server


def write_journal(root: Path, name: str) -> Path:
    records = synthetic.study(2, folds=2, epochs=2)
    records[0] |= {"key": f"key-of-{name}", "study": name}
    return synthetic.write(journal_path(root, name), records)


@pytest.mark.long
def test_a_study_is_sent_to_the_experiment_of_its_name_in_the_users_folder(
    workspace: ManagedServer, tmp_path: Path
) -> None:
    journal = write_journal(tmp_path, "workspace")
    sent = sync_study(journal, "databricks")
    assert [] == sent.problems
    client = MlflowClient("databricks")
    experiment = client.get_experiment(sent.experiment_id)
    assert "/Users/ann@example.com/workspace" == experiment.name
    run = find_study_run(client, "workspace", journal=journal)
    files = {file.path for file in client.list_artifacts(run.run_id)}
    assert {"spec.yaml", "environment.json", "journal.jsonl"} <= files
    assert any("/fs/files/WorkspaceInternal" in path for _, path, _ in workspace.seen)
    page = CliRunner().invoke(main, ["ui", "workspace", "--tracking-uri", "databricks"])
    assert f"{workspace.uri}/ml/experiments/{experiment.experiment_id}/runs" == page.output.strip()
    again = verify_study(journal, "databricks")
    assert [] == again.lacked


def test_a_model_of_a_catalog_needs_three_levels() -> None:
    class Client:
        tracking_uri, _registry_uri = "databricks", "databricks-uc"

    with pytest.raises(PromotionError, match=r"'churn'.*CATALOG\.SCHEMA\.MODEL.*main\.default"):
        check_model_name(Client(), "churn")  # type: ignore[arg-type]
    check_model_name(Client(), "main.sales.churn")  # type: ignore[arg-type]


def test_a_registry_is_refused_as_a_tracking_store() -> None:
    with pytest.raises(TrackingError, match="--tracking-uri databricks://team:"):
        check_uri("databricks-uc://team")


@pytest.mark.long
def test_a_refused_login_of_a_workspace_names_what_to_set(
    workspace: ManagedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "expired")
    with pytest.raises(TrackingError, match="DATABRICKS_HOST and DATABRICKS_TOKEN"):
        open_store("databricks")


@pytest.mark.long
def test_a_winner_is_registered_in_a_catalog_compared_and_rolled_back(
    workspace: ManagedServer, store: Store, tmp_path: Path
) -> None:
    client = open_store("databricks")
    name = Reference("main.sales.churn")
    with limited_requests("databricks"):
        runs = [copy_run(store, client, tmp_path, f"study-{skill}", skill) for skill in (1.0, 4.0)]
        first = promote_run(client, runs[0], name)
        assert (1, None) == (first.version, first.before)
        second = promote_run(client, runs[1], name)
        assert (2, 1) == (second.version, second.before)
        rows = [row for row in list_versions(client) if row.name == name.name]
        assert [("champion",), ("previous",)] == [row.aliases for row in rows]
        assert 1 == rollback_model(client, name.name).version
        folder = fetch_model(client, replace(name, alias="previous"), str(tmp_path / "model"))
        assert (folder / "artifacts" / "model.keras").is_file()
    assert any("/fs/files/Models/main/sales/churn/2/" in path for _, path, _ in workspace.seen)


def copy_run(store: Store, client: MlflowClient, root: Path, name: str, skill: float) -> str:
    """Copy a study's run with its final fit to the workspace."""
    files = store.client.download_artifacts(store.study(name, skill), "final", str(root))
    experiment = client.create_experiment(f"/Users/ann@example.com/{name}")
    run = client.create_run(experiment, run_name=name)
    client.log_artifacts(run.info.run_id, files, "final")
    return str(run.info.run_id)
