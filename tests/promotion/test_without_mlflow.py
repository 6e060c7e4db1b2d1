"""Listing, promoting, rolling back and predicting in an SQLite store, without importing MLflow."""

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hpsearch.errors import PromotionError
from hpsearch.promotion import NotBetterError, list_versions, promote_run, rollback_model
from hpsearch.promotion.reference import Reference
from hpsearch.promotion.registry import version_at
from hpsearch.tracking.registry_database import RegistryDatabase, open_registry_database
from hpsearch.tracking.store_database import open_store_database


@pytest.fixture
def client(empty_store: Path, tmp_path: Path) -> MlflowClient:
    """Of a store with three versions of a model, one of which was deleted."""
    import shutil

    shutil.copy(empty_store, tmp_path / "mlflow.db")
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    client.create_registered_model("m")
    for n in (1, 2, 3):
        tags = {"hpsearch.run": f"r{n}", "hpsearch.score": "0.9", "hpsearch.metric": "auc"}
        client.create_model_version("m", f"{tmp_path}/files/{n}", None, tags=tags)
    client.delete_model_version("m", "3")
    client.set_registered_model_alias("m", "champion", "2")
    client.set_registered_model_alias("m", "previous", "1")
    return client


@pytest.fixture
def database(client: MlflowClient) -> RegistryDatabase:
    opened = open_registry_database(client.tracking_uri)
    assert opened is not None
    return opened


def test_it_answers_as_mlflow_does(client: MlflowClient, database: RegistryDatabase) -> None:
    assert list_versions(client) == list_versions(database)
    assert [2, 1] == [row.version for row in list_versions(database)]
    for alias in ("champion", "previous"):
        theirs, ours = (version_at(c, Reference("m", alias)) for c in (client, database))
        assert (theirs.version, theirs.tags) == (int(ours.version), ours.tags)
        uris = [c.get_model_version_download_uri("m", ours.version) for c in (client, database)]
        assert uris[0] == uris[1]
    for reference in (Reference("m", "nobody"), Reference("other")):
        assert version_at(client, reference) is version_at(database, reference) is None
    with pytest.raises(PromotionError, match="there is no registered model 'other'"):
        list_versions(database, "other")


def test_mlflow_sees_what_was_rolled_back(client: MlflowClient, database: RegistryDatabase) -> None:
    done = rollback_model(database, "m")
    assert (1, 2) == (done.version, done.before)
    known = client.get_registered_model("m").aliases
    assert {"champion": "1", "previous": "2"} == {k: str(v) for k, v in known.items()}
    assert "hpsearch.since.champion" in client.get_model_version("m", "1").tags


def test_a_model_is_promoted_as_by_mlflow(store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1.8e9)
    run = store.study("plain", skill=1.0)
    database = open_store_database(store.uri)
    assert database is not None
    for client, name in ((store.client, "theirs"), (database, "ours")):
        for alias in ("champion", "next", "champion"):
            done = promote_run(client, run, Reference(name, alias))
            assert (1, alias) == (done.version, done.alias)
    theirs, ours = (dict(store.client.get_registered_model(n)) for n in ("theirs", "ours"))
    assert {"champion", "next"} == ours["aliases"].keys()
    for each in (theirs, ours):
        del each["name"], each["latest_versions"]
        each["last_updated_timestamp"] = each["creation_timestamp"] = None
    assert theirs == ours
    theirs, ours = (dict(store.client.get_model_version(n, 1)) for n in ("theirs", "ours"))
    for each in (theirs, ours):
        del each["name"]
        each["last_updated_timestamp"] = each["creation_timestamp"] = None
    assert theirs == ours
    assert Path(ours["source"], "MLmodel").is_file()


def test_the_database_refuses_a_worse_challenger_and_a_run_without_a_winner(store) -> None:
    database = open_store_database(store.uri)
    assert database is not None
    promote_run(database, store.study("able", skill=3.0), Reference("judged"))
    with pytest.raises(NotBetterError, match="judged@champion stays version 1"):
        promote_run(database, store.study("dull", skill=0.5), Reference("judged"))
    empty = store.client.create_run("0").info.run_id
    with pytest.raises(PromotionError, match="has no fitted winner"):
        promote_run(database, empty, Reference("nothing"))
    with pytest.raises(PromotionError, match="there is no registered model 'nothing'"):
        list_versions(database, "nothing")


def test_another_store_is_left_to_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_registry_database("http://127.0.0.1:9") is None
    assert open_registry_database(f"sqlite:///{tmp_path}/none.db") is None


def imported(folder: Path, *arguments: str) -> set[str]:
    """The packages that a command imports."""
    code = (
        "import sys\nfrom hpsearch.cli import main\n"
        f"main({list(arguments)!r}, standalone_mode=False)\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return set(done.stderr.splitlines()[-1].split())


def test_models_imports_neither_mlflow_nor_pandas(client: MlflowClient, tmp_path: Path) -> None:
    loaded = imported(tmp_path, "models", "--tracking-uri", client.tracking_uri)
    assert set() == loaded & {"mlflow", "pandas", "sqlalchemy", "keras", "jax", "sklearn", "optuna"}


@pytest.mark.long
def test_predict_and_doctor_import_no_mlflow(store, table: Path, tmp_path: Path) -> None:
    from hpsearch.promotion import parse_reference

    promote_run(store.client, store.study("light", skill=1.0), parse_reference("light"))
    uri = ("--tracking-uri", store.uri)
    loaded = imported(tmp_path, "predict", "light@champion", str(table), *uri)
    assert {"keras", "jax"} <= loaded
    assert set() == loaded & {"mlflow", "sqlalchemy", "tensorflow", "sklearn", "optuna"}
    assert "mlflow" not in imported(tmp_path, "doctor", *uri)
    loaded = imported(tmp_path, "promote", "light", "--as", "lighter", *uri)
    assert set() == loaded & {"mlflow", "sqlalchemy", "keras", "jax", "pandas"}
