"""Private parts of MLflow: its stores, and what makes and migrates their tables.

Its public client has no way to make a SQLite store quickly, to tell that a database must be
migrated before MLflow does so, to write many points at once or to remove one run for good.
All modules of `mlflow.store` and `mlflow.system_metrics` count as private: their documentation
promises nothing. Importing this module does not import MLflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

TABLES_LOGGER = "mlflow.store.db.utils"  # it prints tracebacks of errors that are raised as well

# ---- stores ----


def store_of(client: MlflowClient) -> Any:
    """The store that a client writes to: one of a database, or of a server."""
    return client._tracking_client.store


def sqlite_store(client: MlflowClient) -> Any:
    """The client's store if it is MLflow's own of an SQLite database, else None."""
    try:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = store_of(client)
        is_sqlite = isinstance(store, SqlAlchemyStore) and store.engine.dialect.name == "sqlite"
    except (ImportError, AttributeError):
        return None
    return store if is_sqlite else None


def metric_tables() -> tuple[Any, Any] | None:
    """SQLAlchemy's tables of all points, and of each metric's last; None where there are none."""
    try:
        from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric

        return SqlMetric.__table__, SqlLatestMetric.__table__
    except (ImportError, AttributeError):
        return None


def close_connections(client: MlflowClient) -> None:
    """Close the client's connections to its database, as a registry too; it opens new ones."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    store_of(client).engine.dispose()
    registry = getattr(SqlAlchemyStore, "_engine_map", {}).get(registry_uri(client))
    if registry is not None:
        registry.dispose()


@contextmanager
def without_making_tables() -> Iterator[None]:
    """Have a client that is opened refuse a database without tables, and leave it as it is.

    It would make them one after the other in the file, where whoever restores the database at that
    moment gets parts of both.

    Raises:
        LookupError: By the client, where there are no tables.
    """
    from mlflow.store.db import utils

    made, utils._initialize_tables = utils._initialize_tables, _refuse_to_make_tables
    try:
        yield
    finally:
        utils._initialize_tables = made


def _refuse_to_make_tables(engine: Any) -> None:
    raise LookupError("it has no tables")


def remove_run_for_good(client: MlflowClient, run_id: str) -> None:
    """Remove one deleted run from the database, and nothing else.

    `mlflow gc --run-ids` takes all deleted experiments and logged models along.
    """
    store_of(client)._hard_delete_run(run_id)


def registry_uri(client: MlflowClient) -> str:
    """Where a client registers models."""
    return str(client._registry_uri)


def artifact_repository(uri: str, tracking_uri: str | None = None) -> Any:
    """What reads and removes files at an artifact's address."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if tracking_uri is None:
        return get_artifact_repository(uri)
    return get_artifact_repository(uri, tracking_uri=tracking_uri)


# ---- tables ----


def migrations() -> Path | None:
    """The folder of the scripts that migrate a database; None where MLflow is not installed."""
    spec = find_spec("mlflow")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Path(folders[0], "store", "db_migrations", "versions") if folders else None


def make_tables(engine: Any) -> None:
    """All tables in an empty database; what opening an absent file calls."""
    from mlflow.store.db.utils import _initialize_tables

    _initialize_tables(engine)


def migrate(uri: str) -> None:
    """Migrate a database to the tables of the installed MLflow.

    Raises:
        Exception: Every database raises its own kind.
    """
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(uri)
    try:
        _upgrade_db(engine)
    finally:
        engine.dispose()


def make_first_experiment(uri: str, artifacts: Path) -> None:
    """Open a database with tables once, so that it gets its first experiment; nothing stays open.

    MLflow keeps an engine for each address, which would hold the file open.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(uri, str(artifacts))
    store.engine.dispose()
    SqlAlchemyStore._engine_map.pop(store.db_uri, None)


# ---- system metrics ----


def system_monitors() -> list[Any]:
    """Monitors of processor, disk and network, and of NVIDIA's cards where they can be asked."""
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    return [CPUMonitor(), DiskMonitor(), NetworkMonitor(), *_gpu_monitor()]


def _gpu_monitor() -> list[Any]:
    """None where there is no card, or `nvidia-ml-py` is not installed."""
    try:
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

        return [GPUMonitor()]
    except Exception:  # the driver raises its own kind
        return []
