"""Read the rows of a query by DuckDB, over local files or a DuckDB database, without a server.

The query is a subquery of one statement, sorted by the declared key, and computed by one thread:
sums of floating-point numbers by several threads differ in the last bit from run to run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DataError, first_line
from .address_cache import DRAFT
from .spilled_rows import GIB, GatheredRows, RowLimit, count_batch_rows, gather_rows

FILES = "duckdb"  # the connection for queries over files
DATABASE = "duckdb:///"  # followed by the path of a database
MIN_SORT_GIB = 1.0  # 400 columns need half of it, whatever the number of rows
SETTINGS = (
    "SET threads = 1",
    "SET TimeZone = 'UTC'",
    "SET autoinstall_known_extensions = false",  # nothing is downloaded
)


def is_duckdb(address: str) -> bool:
    """Whether a connection is DuckDB's."""
    return address == FILES or address.startswith(DATABASE)


def read_duckdb(
    address: str, text: str, order_by: Sequence[str], folder: Path, limit: RowLimit
) -> GatheredRows:
    """Read the rows of a query, sorted by `order_by`.

    Args:
        address: `duckdb`, or `duckdb:///` and the path of a database.
        text: The query; paths of files in it are relative to `folder`.
        order_by: The columns that identify a row.
        folder: Base of relative paths.
        limit: The memory for rows.

    Raises:
        DataError: If the library is not installed, or refuses the query.
    """
    try:
        import duckdb
    except ImportError:
        raise DataError(
            "a query over local files is computed by DuckDB, which is not installed: "
            "pip install 'hpsearch[duckdb]'"
        ) from None
    path = address.removeprefix(DATABASE) if address != FILES else ""
    order = ", ".join('"' + name.replace('"', '""') + '"' for name in order_by)
    wrapped = f"SELECT * FROM (\n{text}\n) AS hpsearch_rows ORDER BY {order}"
    try:
        # A database is opened for reading, so other processes may read it, too.
        where = str((folder / Path(path).expanduser()).resolve()) if path else ":memory:"
        with (
            duckdb.connect(where, read_only=bool(path)) as connection,
            _bound_sort(connection, limit),
        ):
            for setting in SETTINGS:
                connection.execute(setting)
            connection.execute("SET file_search_path = ?", [str(folder.resolve())])
            if len(connection.extract_statements(wrapped)) != 1:
                raise DataError("data.source.sql: give one query, without a semicolon inside")
            rows = connection.sql(wrapped)
            reader = rows.to_arrow_reader(count_batch_rows(len(rows.columns)))
            return gather_rows(_iter_tables(reader), limit)
    except duckdb.Error as error:
        hint = ""
        if isinstance(error, duckdb.OutOfMemoryException):
            hint = f"; it may take {_count_sort_gib(limit):g} GiB: raise data.memory_gib"
        if "httpfs" in str(error):
            hint = "; no extension is downloaded: give the address itself as data.source"
        raise DataError(f"DuckDB refuses the query: {first_line(error)}{hint}") from None


@contextmanager
def _bound_sort(connection: Any, limit: RowLimit) -> Iterator[None]:
    """Bound the memory of a query; what exceeds it is on the disk until it is read."""
    if limit.folder is None:
        yield
        return
    limit.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=DRAFT, dir=limit.folder) as folder:
        connection.execute("SET temp_directory = ?", [folder])
        connection.execute("SET memory_limit = ?", [f"{int(_count_sort_gib(limit) * GIB)}B"])
        yield


def _count_sort_gib(limit: RowLimit) -> float:
    return max(limit.gib, MIN_SORT_GIB)


def _iter_tables(reader: Any) -> Iterator[Any]:
    import pyarrow as pa

    yield _narrow_sums(pa.Table.from_batches([], reader.schema))
    for batch in reader:
        yield _narrow_sums(pa.Table.from_batches([batch]))


def _narrow_sums(table: Any) -> Any:
    """Return whole numbers of 128 bits, the type of DuckDB's sums, as int64 if they fit."""
    import pyarrow as pa

    for index, field in enumerate(table.schema):
        if field.type == pa.decimal128(38, 0):
            try:
                narrow = table.column(index).cast(pa.int64())
            except pa.ArrowInvalid:
                continue
            table = table.set_column(index, field.name, narrow)
    return table
