"""The private parts of MLflow that hpsearch uses work in the installed version."""

import shutil
import sqlite3
from contextlib import closing

import pytest
import sqlalchemy
from mlflow import MlflowClient

from hpsearch.compat import mlflow as compat


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store that was made by `make_tables`, to be copied; making one takes two seconds."""
    folder = tmp_path_factory.mktemp("made")
    uri = f"sqlite:///{folder}/mlflow.db"
    engine = sqlalchemy.create_engine(uri)
    compat.make_tables(engine)
    engine.dispose()
    compat.make_first_experiment(uri, folder / "artifacts")
    compat.close_connections(MlflowClient(uri))
    return folder / "mlflow.db"


@pytest.fixture
def client(made, tmp_path):
    """A client of a copy of `made`."""
    shutil.copy(made, tmp_path)
    return MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_store_is_made_and_its_first_experiment(client):
    assert ["Default"] == [e.name for e in client.search_experiments()]


def test_a_run_is_removed_for_good_and_no_other(client):
    kept, removed = (client.create_run("0").info.run_id for _ in range(2))
    client.delete_run(removed)
    compat.remove_run_for_good(client, removed)
    assert [kept] == [run.info.run_id for run in client.search_runs(["0"], run_view_type=3)]


def test_the_tables_of_points_are_found(client):
    assert compat.sqlite_store(client) is compat.store_of(client)
    points, latest = compat.metric_tables()
    assert ("metrics", "latest_metrics") == (points.name, latest.name)
    run = client.create_run("0").info.run_id
    client.log_metric(run, "loss", 0.5)
    with compat.sqlite_store(client).ManagedSessionMaker(read_only=False) as session:
        assert [0.5] == [row.value for row in session.query(points)]


def test_a_client_of_a_server_has_no_sqlite_store():
    assert compat.sqlite_store(MlflowClient("http://127.0.0.1:1")) is None


def test_a_client_says_where_it_registers_models():
    client = MlflowClient("http://127.0.0.1:1", "http://127.0.0.1:2")
    assert "http://127.0.0.1:2" == compat.registry_uri(client)


def test_connections_are_closed_and_opened_again(client):
    compat.close_connections(client)
    assert 1 == len(client.search_experiments())


def test_a_file_that_took_the_databases_place_is_read_and_written_as_a_registry_too(
    client, tmp_path
):
    path = tmp_path / "mlflow.db"
    shutil.copy(path, tmp_path / "restored.db")
    client.create_registered_model("before")
    (tmp_path / "restored.db").replace(path)
    compat.close_connections(client)
    client.create_registered_model("after")
    with closing(sqlite3.connect(path)) as database:
        names = database.execute("select name from registered_models").fetchall()
    assert [("after",)] == names


def test_a_database_without_tables_is_refused_and_gets_none(tmp_path):
    path = tmp_path / "emptied.db"
    path.touch()
    with pytest.raises(LookupError), compat.without_making_tables():
        MlflowClient(f"sqlite:///{path}")
    assert b"" == path.read_bytes()


def test_an_older_database_is_migrated_to_the_newest_script(client, tmp_path):
    scripts = {p.name.split("_")[0] for p in compat.migrations().glob("*.py")}
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        (newest,) = database.execute("select version_num from alembic_version").fetchone()
    compat.migrate(f"sqlite:///{tmp_path / 'mlflow.db'}")  # there is nothing to do
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert (newest,) == database.execute("select version_num from alembic_version").fetchone()
    assert newest in scripts


def test_files_of_a_run_are_listed(client, tmp_path):
    run = client.create_run("0").info.run_id
    client.log_text(run, "text", "note.txt")
    repository = compat.artifact_repository(client.get_run(run).info.artifact_uri)
    assert ["note.txt"] == [file.path for file in repository.list_artifacts()]


def test_monitors_measure_the_machine():
    names = set()
    for monitor in compat.system_monitors():
        monitor.collect_metrics()
        names |= monitor.aggregate_metrics().keys()
    assert "cpu_utilization_percentage" in names
