"""Read the rows of a query through SQLAlchemy or DuckDB, in the order of a declared key.

The query is wrapped as a subquery, so that only a query can run, in one transaction that is rolled
back. The address and the login come from an environment variable and are never recorded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError, first_line
from ..spec.data_spec import QuerySpec
from .delimited import require_unique_names
from .duckdb_source import FILES, is_duckdb, read_duckdb
from .nested_columns import unwrap_column
from .request_retries import TRIES, retry
from .spilled_rows import GatheredRows, RowLimit, gather_rows

BATCH = 50_000  # rows fetched at once, fewer of many columns
BATCH_CELLS = 1_000_000  # each a Python object


def read_query(query: QuerySpec, folder: Path, limit: RowLimit) -> GatheredRows:
    """Read the rows of a query, sorted by `query.order_by`.

    Raises:
        DataError: If the database cannot be reached, or refuses the query.
    """
    text = _read_text(query, folder)
    address = FILES if query.connection == FILES else _find_address(query.connection)
    if is_duckdb(address):
        rows = read_duckdb(address, text, query.order_by, folder, limit)
    else:
        rows = _read_database(address, text, query, limit)
    if rows.table.num_rows == 0:
        raise DataError("the query gives no row")
    _require_unique_key(rows.table, query.order_by)
    return rows


def _find_address(variable: str) -> str:
    address = os.environ.get(variable)
    if not address:
        raise DataError(
            f"data.source.connection: there is no environment variable {variable}; set it to the "
            "database's address, as postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE, or give "
            f"connection: {FILES} for a query over local files"
        )
    return address


def _read_database(address: str, text: str, query: QuerySpec, limit: RowLimit) -> GatheredRows:
    """Run a query through SQLAlchemy; all of it again if the connection is lost meanwhile."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        engine = create_engine(address, poolclass=NullPool)
        return retry(
            lambda: gather_rows(_iter_batches(engine, text, query.order_by), limit),
            passes=_is_connection_lost,
        )
    except (ArgumentError, ImportError) as error:
        raise DataError(
            f"the address in {query.connection} cannot be opened: {first_line(error)}; it begins "
            "with DIALECT+DRIVER://, as SQLAlchemy names them, and the driver must be installed"
        ) from None
    except SQLAlchemyError as error:
        if _is_connection_lost(error):
            raise DataError(
                f"the connection to the database at {query.connection} was lost while its rows "
                f"were read, {TRIES} times: {first_line(error)}; the same command continues once "
                "it holds"
            ) from None
        hint = "; a query has no parameters: write their values into it"
        is_bound = re.search(r"\bbind|\bparameter", str(error), re.IGNORECASE)
        raise DataError(
            f"the database at {query.connection} refuses the query, or is gone: "
            f"{first_line(error)}{hint if is_bound else ''}"
        ) from None


def _is_connection_lost(error: Exception) -> bool:
    from sqlalchemy.exc import DBAPIError

    return isinstance(error, DBAPIError) and error.connection_invalidated


def _read_text(query: QuerySpec, folder: Path) -> str:
    text = query.sql
    if text.strip().lower().endswith(".sql"):
        path = folder / Path(text.strip()).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"data.source.sql: {path} cannot be read: {error}") from None
    return text.strip().rstrip(";")


def _iter_batches(engine: Any, text: str, order_by: Sequence[str]) -> Iterator[Any]:
    quote = engine.dialect.identifier_preparer.quote_identifier
    order = ", ".join(quote(name) for name in order_by)
    wrapped = f"SELECT * FROM (\n{text}\n) AS hpsearch_rows ORDER BY {order}"
    with engine.connect() as connection, connection.begin() as transaction:
        _make_read_only(connection)
        connection = connection.execution_options(stream_results=True)
        result = connection.exec_driver_sql(wrapped.replace("%", _escape_percent(engine)))
        names = require_unique_names(list(result.keys()))
        n_rows = max(1, min(BATCH, BATCH_CELLS // len(names)))
        while (table := _fetch_table(result, names, n_rows)) is not None:
            yield table
        transaction.rollback()


def _escape_percent(engine: Any) -> str:
    """Escape `%` as the driver requires in a statement without parameters."""
    return "%%" if engine.dialect.paramstyle in ("format", "pyformat") else "%"


def _make_read_only(connection: Any) -> None:
    """Make the transaction read-only, with one consistent snapshot of the rows."""
    kind = connection.dialect.name
    if kind == "postgresql":
        statement = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
    elif kind == "sqlite":
        statement = "PRAGMA query_only = ON"
    else:
        return
    connection.exec_driver_sql(statement)


def _fetch_table(result: Any, names: Sequence[str], n_rows: int) -> Any:
    """Fetch the next rows; their Python objects are freed before others are fetched."""
    rows = result.fetchmany(n_rows)
    return _to_table(names, rows) if rows else None


def _to_table(names: Sequence[str], rows: Sequence[Any]) -> Any:
    import pyarrow as pa

    columns = []
    for name, cells in zip(names, zip(*rows, strict=True), strict=True):
        try:
            columns.append(unwrap_column(pa.chunked_array([pa.array(cells)])))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            kinds = sorted({type(cell).__name__ for cell in cells if cell is not None})
            raise DataError(
                f"column {name!r} holds {', '.join(kinds)}, which cannot be read as one type: "
                "CAST it in the query, or leave it out"
            ) from None
    return pa.table(columns, names=list(names))


def _require_unique_key(table: Any, order_by: Sequence[str]) -> None:
    """Refuse a key that is not unique: rows with equal keys have no defined order."""
    import pyarrow as pa

    missing = [name for name in order_by if name not in table.column_names]
    if missing:
        raise DataError(
            f"data.source.order_by: the query gives no column {missing[0]!r}, but "
            f"{', '.join(table.column_names)}"
        )
    try:
        n_keys = table.select(list(order_by)).group_by(list(order_by)).aggregate([]).num_rows
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        kinds = ", ".join(f"{name} holds {table.schema.field(name).type}" for name in order_by)
        raise DataError(
            f"data.source.order_by: {kinds}; keys are numbers, text, dates and UUIDs: CAST the "
            "column in the query, or name others"
        ) from None
    if n_keys < table.num_rows:
        raise DataError(
            f"data.source.order_by: {', '.join(order_by)} has {n_keys:,} values in "
            f"{table.num_rows:,} rows: name columns that tell all rows apart, so that their order "
            "is known"
        )
