"""Data frames of other libraries give the same rows as an Arrow table."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import dataset
from scipy.sparse import coo_matrix

from hpsearch.data.batch_feed import source_from_memory
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

TABLE = pa.table(
    {
        "size": pa.array([1.5, 2.0, None]),
        "color": pa.array(["x", "y", None]),
        "y": pa.array(["n", "j", "n"]),
    }
)


def read(value) -> pa.Table:
    return source_from_memory(value, DataSpec(target="y")).table


class Stream:
    """A frame that offers Arrow's C stream and nothing else."""

    def __arrow_c_stream__(self, requested_schema=None):
        return TABLE.__arrow_c_stream__(requested_schema)


def test_whatever_offers_arrows_stream_is_a_table():
    frames = {
        "stream": Stream(),
        "dataset": dataset.dataset(TABLE),
        "scanner": dataset.dataset(TABLE).scanner(),
        "reader": TABLE.to_reader(),
        "batch": TABLE.to_batches()[0],
        "pandas": TABLE.to_pandas(),
    }
    for name, frame in frames.items():
        assert TABLE.equals(read(frame)), name
    assert TABLE.equals(read((dataset.dataset(TABLE.drop_columns(["y"])), ["n", "j", "n"])))


def test_polars_frames_are_read_lazy_ones_too():
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(TABLE)
    coded = frame.with_columns(polars.col("color").cast(polars.Enum(["x", "y"])))
    for value in (frame, frame.lazy(), coded, (frame.lazy().drop("y"), frame["y"])):
        assert TABLE.equals(read(value))


def test_relations_of_duckdb_are_read():
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.register("rows", TABLE)
        assert TABLE.equals(read(connection.sql("select * from rows")))


def test_data_sets_of_hugging_face_are_read_in_their_own_order():
    datasets = pytest.importorskip("datasets")
    found = datasets.Dataset(TABLE).select([2, 0])
    assert TABLE.take([2, 0]).equals(read(found))
    with pytest.raises(DataError, match="give one split"):
        read(datasets.DatasetDict({"train": found}))


def test_a_frame_with_a_doubled_column_is_no_file_with_lines():
    with pytest.raises(DataError, match=r"duplicate column names: 'a' \(columns 1, 2\)") as refused:
        source_from_memory(TABLE.select([0, 1]).rename_columns(["a", "a"]), DataSpec(target="a"))
    assert "line" not in str(refused.value)


def test_a_structured_array_is_a_frame():
    rows = np.array([(1.5, 2, "n"), (2.0, 3, "j")], [("size", "f4"), ("n", "i2"), ("y", "U1")])
    expected = pa.table(
        {
            "size": pa.array([1.5, 2], pa.float32()),
            "n": pa.array([2, 3], pa.int16()),
            "y": ["n", "j"],
        }
    )
    for value in (rows, rows.view(np.recarray), (rows[["size", "n"]], rows["y"])):
        assert expected.equals(read(value))


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        ("rows.csv", "declared as data.source"),
        ([{"a": 1, "y": 0}], r"pandas\.DataFrame"),
        ((coo_matrix([[1.0], [2.0]]), [0, 1]), r"X is a sparse matrix: give X\.toarray\(\)"),
    ],
)
def test_rows_that_are_no_frame_are_refused_with_the_remedy(value, remedy):
    with pytest.raises(DataError, match=remedy):
        read(value)


def test_a_relation_of_a_closed_connection_is_refused():
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    relation = connection.sql("select 1 as size, 2 as y")
    connection.close()
    with pytest.raises(DataError, match="its connection has to be open"):
        read(relation)


class DataFrame:
    """What is known of a Spark DataFrame before any of its methods is called."""

    schema = None


def test_a_spark_frame_is_not_collected():
    DataFrame.__module__ = "pyspark.sql.connect.dataframe"
    with pytest.raises(DataError, match=r"frame\.write\.parquet\(FOLDER\)"):
        read(DataFrame())
