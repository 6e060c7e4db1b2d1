"""PostgreSQL as MLflow's store: a server of the test's own, from Debian's packages, on loopback."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import server_parts
import synthetic
from mlflow import MlflowClient
from sqlalchemy import create_engine, text

from hpsearch.errors import TrackingError
from hpsearch.tracking.database_schema import known_revisions, stored_revision
from hpsearch.tracking.store import get_experiment_id, journal_path, open_store
from hpsearch.tracking.study_sync import sync_study


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    with server_parts.postgresql() as uri:
        yield uri


def test_processes_that_create_a_name_at_once_share_its_experiment(postgresql):
    open_store(postgresql)
    clients = [MlflowClient(postgresql) for _ in range(4)]
    together = Barrier(len(clients))

    def begin(client: MlflowClient) -> str:
        together.wait(60)
        return get_experiment_id(client, "begun-at-once", None)

    with ThreadPoolExecutor(len(clients)) as pool:
        assert 1 == len(set(pool.map(begin, clients)))


def test_tables_of_an_older_mlflow_are_left_as_they_are(postgresql):
    open_store(postgresql)
    newest = known_revisions()[1]
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
        sync_study(journal, postgresql, artifacts)
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
