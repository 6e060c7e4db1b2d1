"""Write points into MLflow's SQLite store in bulk.

MLflow's `log_batch` creates two Python objects per point and takes 0.1 ms each, which is most of a
trial's tracking cost. The rows are identical (a test compares them). Other stores, and unexpected
schemas, use `log_batch`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..compat.mlflow import metric_tables, sqlite_store
from .mlflow_layout import MetricPoint

if TYPE_CHECKING:
    from mlflow import MlflowClient

COLUMNS = {"key", "value", "timestamp", "step", "is_nan", "run_uuid"}


class BulkPoints:
    """Writes points of a run; existing points are unchanged."""

    def __init__(self, store: Any, points: Any, latest: Any) -> None:
        """Write to the two metric tables of `store`."""
        self._store = store
        self._points = points
        self._latest = latest

    @classmethod
    def for_client(cls, client: MlflowClient) -> BulkPoints | None:
        """Create a writer for the client's store; None if `log_batch` must be used."""
        store, tables = sqlite_store(client), metric_tables()
        if store is None or tables is None:
            return None
        suits = all({column.name for column in table.columns} == COLUMNS for table in tables)
        return cls(store, *tables) if suits else None

    def write(self, run: str, points: Iterable[MetricPoint]) -> None:
        """Insert the points, and update each metric's latest value.

        Raises:
            MlflowException: If the database cannot be written.
        """
        from sqlalchemy.dialects.sqlite import insert

        rows = [self._to_row(run, point) for point in points]
        if not rows:
            return
        last = {row["key"]: row for row in sorted(rows, key=_sort_key)}
        with self._store.ManagedSessionMaker(read_only=False) as session:
            session.execute(insert(self._points).on_conflict_do_nothing(), rows)
            latest = insert(self._latest)
            changed = {name: latest.excluded[name] for name in COLUMNS - {"key", "run_uuid"}}
            keys = [self._latest.c.key, self._latest.c.run_uuid]
            session.execute(
                latest.on_conflict_do_update(
                    index_elements=keys,
                    set_=changed,
                    where=self._latest.c.step <= latest.excluded.step,
                ),
                list(last.values()),
            )

    def point_keys(self, run: str) -> set[tuple[str, int, int]]:
        """Return metric, step and time of every point of a run."""
        table = self._points.c
        with self._store.ManagedSessionMaker() as session:
            wanted = session.query(table.key, table.step, table.timestamp)
            return {tuple(row) for row in wanted.filter(table.run_uuid == run)}

    def _to_row(self, run: str, point: MetricPoint) -> dict[str, Any]:
        is_nan, value = self._store.sanitize_metric_value(point.value)
        return {
            "run_uuid": run,
            "key": point.name,
            "value": value,
            "timestamp": point.time,
            "step": point.step,
            "is_nan": is_nan,
        }


def _sort_key(row: dict[str, Any]) -> tuple[int, int]:
    return row["step"], row["timestamp"]
