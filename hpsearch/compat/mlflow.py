"""Private parts of MLflow: its stores, and the creation and migration of their tables.

The public client cannot create an SQLite store quickly, detect a pending migration before MLflow
runs it, write many points at once, or delete a single run permanently. All modules of
`mlflow.store` and `mlflow.system_metrics` are treated as private, since they are undocumented.
Importing this module does not import MLflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

ALL_RUNS = 3  # `ViewType.ALL` of `mlflow.entities`: active and deleted runs
TABLES_LOGGER = "mlflow.store.db.utils"  # it also logs tracebacks of errors that it raises

# ---- stores ----


def store_of(client: MlflowClient) -> Any:
    """Return the store of a client: of a database or of a server."""
    return client._tracking_client.store


def sqlite_store(client: MlflowClient) -> Any:
    """Return the client's store if it is MLflow's store of an SQLite database, else None."""
    try:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = store_of(client)
        is_sqlite = isinstance(store, SqlAlchemyStore) and store.engine.dialect.name == "sqlite"
    except (ImportError, AttributeError):
        return None
    return store if is_sqlite else None


@contextmanager
def one_transaction(store: Any) -> Iterator[None]:
    """Make all calls of this thread to an SQLite store inside the block one transaction.

    MLflow opens about eleven sessions for a few calls of a run, each with three pragmas and most
    with a commit, which waits for the disk. Here the calls share one session, and flush instead of
    committing. Other threads have sessions of their own.

    Raises:
        Exception: The block's exception, or an error if a call rolled back. The whole block is
            then rolled back.
    """
    own, owner, depth = store.ManagedSessionMaker, get_ident(), 0
    failure: BaseException | None = None

    @contextmanager
    def join(read_only: bool = True) -> Iterator[Any]:
        nonlocal depth
        if get_ident() != owner:
            with own(read_only=read_only) as other:
                yield other
            return
        depth += 1
        try:
            yield session
        finally:
            depth -= 1
        session.flush()
        if depth == 0:
            session.expire_all()  # as after a commit

    def roll_back() -> None:
        nonlocal failure
        failure = failure or RuntimeError("a call has taken back what it wrote")
        type(session).rollback(session)

    with own(read_only=False) as session:
        session.commit, session.rollback = session.flush, roll_back
        store.ManagedSessionMaker = join
        try:
            yield
        except BaseException as error:
            failure = error
        finally:
            store.ManagedSessionMaker = own
            del session.commit, session.rollback
        if failure is not None:
            session.rollback()
    if failure is not None:
        raise failure


def metric_tables() -> tuple[Any, Any] | None:
    """Return SQLAlchemy's tables of all points and of latest values; None if unavailable."""
    try:
        from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric

        return SqlMetric.__table__, SqlLatestMetric.__table__
    except (ImportError, AttributeError):
        return None


def close_connections(client: MlflowClient) -> None:
    """Close the client's connections to its database, registry included; it reopens them."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    store_of(client).engine.dispose()
    registry = getattr(SqlAlchemyStore, "_engine_map", {}).get(registry_uri(client))
    if registry is not None:
        registry.dispose()


@contextmanager
def without_making_tables() -> Iterator[None]:
    """Make a client refuse a database without tables instead of creating them.

    MLflow would create tables in a file that someone may be restoring at that moment, and mix both.

    Raises:
        LookupError: Raised by the client if there are no tables.
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
    """Remove one deleted run from the database permanently.

    `mlflow gc --run-ids` would also remove all deleted experiments and logged models.
    """
    store_of(client)._hard_delete_run(run_id)


def registry_uri(client: MlflowClient) -> str:
    """Return the URI of a client's model registry; that of its store if it has no other."""
    return str(getattr(client, "_registry_uri", client.tracking_uri))


def artifact_repository(uri: str, tracking_uri: str | None = None) -> Any:
    """Return the repository that reads and removes files at an artifact URI."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    if tracking_uri is None:
        return get_artifact_repository(uri)
    return get_artifact_repository(uri, tracking_uri=tracking_uri)


# ---- tables ----


def migrations() -> Path | None:
    """Return the folder of the migration scripts; None if MLflow is not installed."""
    spec = find_spec("mlflow")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return Path(folders[0], "store", "db_migrations", "versions") if folders else None


def make_tables(engine: Any) -> None:
    """Create all tables in an empty database, as opening an absent file does."""
    from mlflow.store.db.utils import _initialize_tables

    _initialize_tables(engine)


def migrate(uri: str) -> None:
    """Migrate a database to the tables of the installed MLflow.

    Raises:
        Exception: Each database driver raises its own kinds.
    """
    from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(uri)
    try:
        _upgrade_db(engine)
    finally:
        engine.dispose()


def make_first_experiment(uri: str, artifacts: Path) -> None:
    """Open a database once, which creates its first experiment, and close it again.

    MLflow caches an engine per address, which would keep the file open.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(uri, str(artifacts))
    store.engine.dispose()
    SqlAlchemyStore._engine_map.pop(store.db_uri, None)


# ---- system metrics ----


def system_monitors() -> list[Any]:
    """Return monitors of CPU, disk and network, and of NVIDIA GPUs if available."""
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    return [CPUMonitor(), DiskMonitor(), NetworkMonitor(), *_gpu_monitor()]


def _gpu_monitor() -> list[Any]:
    """Return the GPU monitor; None without a GPU or `nvidia-ml-py`."""
    try:
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

        return [GPUMonitor()]
    except Exception:  # the driver raises its own kinds
        return []
