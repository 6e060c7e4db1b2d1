"""PostgreSQL as MLflow's store: a server of the test's own, from Debian's packages, on loopback."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import synthetic
from mlflow import MlflowClient
from sqlalchemy import create_engine, text

from hpsearch.errors import TrackingError
from hpsearch.tracking.schema import revisions, stored_revision
from hpsearch.tracking.sender import sync
from hpsearch.tracking.store import experiment_of, journal_path, open_store


def programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are; Debian keeps them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    on_path = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URI of an empty database."""
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not here: apt-get install postgresql")
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    home = Path(tempfile.mkdtemp(prefix="hpsearch-pg-"))  # root's own folders are closed to it
    if user:
        shutil.chown(home, user)

    def run(program: str, *arguments: object) -> None:
        command = [str(folder / program), *map(str, arguments)]
        done = subprocess.run(command, user=user, cwd=home, capture_output=True, timeout=120)
        assert 0 == done.returncode, done.stderr.decode()

    password, data, port = home / "password", home / "data", free_port()
    password.write_text("of-this-test")
    password.chmod(0o644)
    run("initdb", "-D", data, "-U", "mlflow", "--auth=scram-sha-256", f"--pwfile={password}")
    options = f"-h 127.0.0.1 -p {port} -k {home} -c fsync=off"
    run("pg_ctl", "-D", data, "-l", home / "log", "-w", "-o", options, "start")
    try:
        yield f"postgresql+psycopg2://mlflow:of-this-test@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(home)


def test_those_who_begin_a_name_at_once_share_its_experiment(postgresql):
    open_store(postgresql)
    clients = [MlflowClient(postgresql) for _ in range(4)]
    together = Barrier(len(clients))

    def begin(client: MlflowClient) -> str:
        together.wait(60)
        return experiment_of(client, "begun-at-once", None)

    with ThreadPoolExecutor(len(clients)) as pool:
        assert 1 == len(set(pool.map(begin, clients)))


def test_tables_of_an_older_mlflow_are_left_as_they_are(postgresql):
    open_store(postgresql)
    newest = revisions()[1]
    assert newest == stored_revision(postgresql)
    engine = create_engine(postgresql)
    change = "update alembic_version set version_num = '{}'"
    with engine.begin() as connection:
        connection.execute(text(change.format("0584bdc529eb")))
    with pytest.raises(TrackingError, match="made by an older MLflow") as told:
        open_store(postgresql)
    assert "of-this-test" not in str(told.value)
    with engine.begin() as connection:
        connection.execute(text(change.format(newest)))
    engine.dispose()


def test_a_study_is_in_postgresql_once_however_often_it_is_sent(postgresql, tmp_path):
    journal = synthetic.write(journal_path(tmp_path, "study"), synthetic.study(5))
    artifacts = (tmp_path / "artifacts").as_uri()
    for _ in range(2):
        sync(journal, postgresql, artifacts)
        (cursor,) = journal.parent.glob("uploaded-*.json")
        cursor.unlink()  # as if nothing had been sent
    client = MlflowClient(postgresql)
    experiment = client.get_experiment_by_name("churn")
    runs = client.search_runs([experiment.experiment_id])
    keys = [r.data.tags["hpsearch.key"] for r in runs]
    asked = [r for r in synthetic.study(5) if r["event"] == "asked"]
    assert 1 + len(asked) == len(keys) == len(set(keys))
    told = [r for r in synthetic.study(5) if r["event"] == "epoch" and r["trial"] == 0]
    first = next(r for r in runs if r.data.tags["hpsearch.key"].endswith("/0/0"))
    points = client.get_metric_history(first.info.run_id, "val/loss")
    assert [r["epoch"] for r in told] == sorted(p.step for p in points)
