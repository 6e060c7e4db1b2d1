"""Every Arrow type is read correctly, or refused with the column's name."""

import datetime
import math
import tempfile
import uuid
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from hpsearch.data.batch_feed import source_from_memory
from hpsearch.data.sources import read_source
from hpsearch.data.spilled_rows import RowLimit, gather_rows
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
DAY = datetime.datetime(2024, 2, 29, 13, 7, 5, 250_000)
SECONDS = st.integers(-(10**9), 10**9)

# Leaves that are read: the Arrow type and its values.
LEAVES = [
    *((kind, st.integers(0, 100)) for kind in (pa.int8(), pa.uint16(), pa.int64(), pa.uint64())),
    *((kind, st.integers(-8, 8).map(float)) for kind in (pa.float16(), pa.float32())),
    (pa.float64(), st.floats(allow_nan=False)),
    (pa.decimal128(9, 2), st.integers(-999, 999).map(lambda n: Decimal(n) / 100)),
    (pa.decimal256(40, 3), st.integers(-999, 999).map(lambda n: Decimal(n) / 1000)),
    (pa.bool_(), st.booleans()),
    *((kind, TEXT) for kind in (pa.string(), pa.large_string(), pa.string_view())),
    (pa.dictionary(pa.int8(), pa.string()), TEXT),
    (pa.dictionary(pa.int32(), pa.int64()), st.integers(0, 9)),
    (pa.run_end_encoded(pa.int32(), pa.int64()), st.integers(0, 9)),
    *((kind, st.dates()) for kind in (pa.date32(), pa.date64())),
    *((pa.timestamp(unit), st.just(DAY)) for unit in ("us", "ns")),
    (pa.timestamp("ns", "+05:30"), st.just(DAY.replace(tzinfo=datetime.UTC))),
    (pa.timestamp("ms", "Europe/Berlin"), st.just(DAY.replace(tzinfo=datetime.UTC))),
    (pa.time32("s"), st.just(datetime.time(13, 7, 5))),
    (pa.time64("us"), st.times()),
    *(
        (pa.duration(u), SECONDS.map(lambda s: datetime.timedelta(seconds=s)))
        for u in ("s", "ms", "us")
    ),
    (pa.uuid(), st.uuids()),
    (pa.null(), st.none()),
]
REFUSED = [
    (pa.binary(), st.binary(max_size=3)),
    (pa.binary(2), st.just(b"ab")),
    *((kind, st.binary(max_size=3)) for kind in (pa.large_binary(), pa.binary_view())),
    (pa.dictionary(pa.int8(), pa.binary()), st.binary(max_size=3)),
    (pa.map_(pa.string(), pa.int64()), st.just([("a", 1)])),
    (pa.month_day_nano_interval(), st.just(pa.MonthDayNano([1, 2, 3]))),
]


@st.composite
def columns(draw, leaves, depth=2):
    """A type, a strategy of its cells, and the number of flat columns."""
    if depth == 0 or draw(st.booleans()):
        return (*draw(st.sampled_from(leaves)), 1)
    kind, cells, width = draw(columns(leaves, depth - 1))
    if pa.types.is_run_end_encoded(kind) or kind == pa.uuid():
        return kind, cells, width  # which Arrow does not build inside others
    if draw(st.booleans()):
        fields = pa.struct([("a", pa.int64()), ("b b", kind)])
        return fields, st.fixed_dictionaries({"a": st.integers(0, 9), "b b": cells}), 1 + width
    length = draw(st.integers(1, 3))
    lists = [pa.list_(kind), pa.large_list(kind), pa.list_(kind, length), pa.list_view(kind)]
    return (
        draw(st.sampled_from(lists)),
        st.lists(cells, min_size=length, max_size=length),
        length * width,
    )


@st.composite
def tables(draw, leaves):
    kind, cells, width = draw(columns(leaves))
    values = [draw(cells), *draw(st.lists(st.none() | cells, min_size=1, max_size=4))]
    if not pa.types.is_run_end_encoded(kind):
        array = pa.array(values, kind)
    else:
        array = pa.RunEndEncodedArray.from_arrays(
            pa.array(range(1, len(values) + 1), pa.int32()), pa.array(values, kind.value_type)
        )
    y = pa.array(["a", "b"] * len(values))[: len(values)]
    cut = draw(st.integers(0, len(values)))
    column = pa.chunked_array([array[:cut], array[cut:]], kind)
    return pa.table([column, y], names=["x", "y"]), values, width


def flatten(value, kind, path="x"):
    """The flat cells of a cell, made from Python's values alone."""
    if pa.types.is_struct(kind):
        for i in range(kind.num_fields):
            part = None if value is None else value[kind.field(i).name]
            yield from flatten(part, kind.field(i).type, f"{path}.{kind.field(i).name}")
    elif hasattr(kind, "value_field") and not pa.types.is_map(kind):
        for i, part in enumerate(value or ()):
            yield from flatten(part, kind.value_type, f"{path}[{i}]")
    else:
        yield path, value


def is_equal(expected, found) -> bool:
    if isinstance(expected, uuid.UUID):
        return str(expected) == found
    if isinstance(expected, datetime.timedelta):
        return math.isclose(expected.total_seconds(), found, rel_tol=1e-12)
    if isinstance(expected, Decimal):
        return float(expected) == float(found)
    if isinstance(expected, datetime.time):
        return expected == datetime.time.fromisoformat(found)
    return expected == found


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(table=tables(LEAVES))
def test_each_cell_is_read_once(table):
    table, values, width = table
    found = source_from_memory(table, DataSpec(target="y")).table
    assert width + 1 == found.num_columns
    assert len(values) == found.num_rows
    kind = table.schema.field("x").type
    for i, value in enumerate(values):
        for name, cell in flatten(value, kind):
            assert is_equal(cell, found[name][i].as_py()), (name, cell, found[name][i])
    assert found.equals(spill(table))


def spill(table, drop=()):
    """Read a table in two parts from the disk, as one that exceeds the memory."""
    with tempfile.TemporaryDirectory() as folder:
        cut = table.num_rows // 2
        limit = RowLimit(0.0, Path(folder), drop)
        return gather_rows([table.slice(0, cut), table.slice(cut)], limit).table


@QUICK
@given(table=tables(REFUSED))
def test_what_is_not_read_is_refused_by_name_and_can_be_dropped(table):
    table = table[0].append_column("z", pa.array(range(table[0].num_rows)))
    with pytest.raises(DataError, match=r"column 'x[^']*' .*data\.drop: \[x") as refused:
        source_from_memory(table, DataSpec(target="y"))
    with pytest.raises(DataError, match=r"column 'x[^']*' .*data\.drop: \[x"):
        spill(table)
    name = str(refused.value).partition("data.drop: [")[2].partition("]")[0]
    for drop in {name, "x"} & set(table.column_names):
        found = source_from_memory(table, DataSpec(target="y", drop=[drop])).table
        assert ["x", "y", "z"] == found.column_names
        assert found.equals(spill(table, [drop]))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([[1, 2], [3]], "column 'x' holds lists of 1 to 2 values: only lists of one length"),
        ([[], []], "column 'x' holds lists of 0 values"),
        ([None, None], "column 'x' holds no list"),
    ],
)
def test_lists_that_are_no_vectors_are_refused(cells, message):
    table = pa.table({"x": pa.array(cells, pa.list_(pa.int64())), "y": ["a", "b"]})
    with pytest.raises(DataError, match=message):
        source_from_memory(table, DataSpec(target="y"))


def test_a_flat_name_that_is_taken_is_refused():
    table = pa.table({"x": [{"a": 1}, {"a": 2}], "x.a": [1, 2], "y": ["a", "b"]})
    with pytest.raises(DataError, match=r"column 'x\.a' is also what a nested column becomes"):
        source_from_memory(table, DataSpec(target="y"))


def test_decimals_are_the_nearest_numbers():
    cells = pa.array([Decimal("2.51"), Decimal("-0.07"), None], pa.decimal128(9, 2))
    table = pa.table({"x": cells, "y": ["a", "b", "a"]})
    found = source_from_memory(table, DataSpec(target="y")).table
    assert [2.51, -0.07, None] == found["x"].to_pylist()


def test_extension_types_are_read_as_their_storage():
    flags = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, 0, None], pa.int8()))
    table = pa.table({"x": flags, "y": ["a", "b", "a"]})
    found = source_from_memory(table, DataSpec(target="y")).table
    assert [True, False, None] == found["x"].to_pylist()


NESTED = pa.table(
    {
        "address": pa.array([{"city": ("Bonn", "Ulm")[i % 2], "zip": i} for i in range(20)]),
        "emb": pa.array([[float(i), i / 2] for i in range(20)]),
        "wait": pa.array([datetime.timedelta(seconds=i) for i in range(20)]),
        "raw": pa.array([b"\xff"] * 20),
        "y": pa.array([("no", "yes")[i % 3 == 0] for i in range(20)]),
    }
)
FLAT = ["address.city", "address.zip", "emb[0]", "emb[1]", "wait"]


def test_locked_rows_are_flattened_as_the_others_are(tmp_path):
    for name, rows in (("a", NESTED), ("b", NESTED.slice(15))):
        parquet.write_table(rows, tmp_path / f"{name}.parquet")
    spec = DataSpec(source="a.parquet", test_source="b.parquet", target="y", drop=["raw"])
    source = read_source(spec, tmp_path)
    assert [*FLAT, "raw", "y"] == source.table.column_names == source.test_table.column_names
    shorter = NESTED.set_column(1, "emb", pa.array([[1.0]] * 20))
    parquet.write_table(shorter, tmp_path / "b.parquet")
    with pytest.raises(DataError, match="column 'emb': a list of 1 values, where 2 were trained"):
        read_source(spec, tmp_path)


def test_predict_reads_the_same_nested_columns(tmp_path):
    from hpsearch.data import load
    from hpsearch.promotion.row_file import RowFile

    parquet.write_table(NESTED, tmp_path / "a.parquet", row_group_size=7)
    spec = DataSpec(source="a.parquet", target="y", drop=["raw"], test_fraction=0)
    trained = load(spec, task=None, cross_validation=None, seed=1, folder=tmp_path)
    assert FLAT == list(trained.schema.raw_columns)
    new = NESTED.drop_columns(["y", "raw"])
    new = new.set_column(1, "emb", pa.array([None] * 8 + NESTED["emb"].to_pylist()[8:]))
    parquet.write_table(new, tmp_path / "new.parquet", row_group_size=7)
    rows = pa.concat_tables(
        RowFile(tmp_path / "new.parquet", trained.schema, None, ()).read_blocks()
    )
    assert FLAT == rows.column_names
    assert ([None] * 8 + [i / 2 for i in range(8, 20)]) == rows["emb[1]"].to_pylist()
    assert NESTED["wait"].to_pylist() == [
        datetime.timedelta(seconds=s) for s in rows["wait"].to_pylist()
    ]
    parquet.write_table(new.drop_columns(["emb"]), tmp_path / "less.parquet")
    less = RowFile(tmp_path / "less.parquet", trained.schema, None, ())
    with pytest.raises(DataError, match="emb"):
        list(less.read_blocks())


def test_init_drops_what_cannot_be_read_with_a_note(tmp_path):
    from hpsearch.study.init.wizard import write_starter

    parquet.write_table(NESTED, tmp_path / "rows.parquet")
    starter = write_starter(str(tmp_path / "rows.parquet"), "y", tmp_path / "study.yaml")
    assert "raw" in {column.name: column.reason for column in starter.dropped}
    assert "raw" in starter.data["drop"]
    assert "holds binary" in (tmp_path / "study.yaml").read_text()
