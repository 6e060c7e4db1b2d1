"""The schema gives cells the same meaning in training and serving."""

import json
import math
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpsearch.data import Column, Schema, Target, schema
from hpsearch.data.columns import DATE_PARTS, CellCounts
from hpsearch.data.vocabulary import OTHER_CATEGORY
from hpsearch.errors import DataError
from hpsearch.promotion.package import CODE

SIZE = Column("size", "numeric")
COLOR = Column("color", "categorical", ("green", "red"))
BOTH = Schema((SIZE, COLOR), Target("y", "binary", ("no", "yes")))
NAN = np.nan


def test_numbers_pass_and_texts_become_codes():
    table = {"color": ["red", "green", None], "size": [1.5, None, 3]}
    np.testing.assert_array_equal(
        np.array([[1.5, 1], [NAN, 0], [3, NAN]], np.float32), BOTH.clean(table)
    )


@pytest.mark.parametrize("kind", ["pandas", "nullable", "object", "category", "arrow", "strings"])
def test_every_kind_of_table_is_cleaned_alike(kind):
    plain = {"size": [1.0, None, 3.0, 2.0], "color": ["red", " green ", None, "blue"]}
    frame = pd.DataFrame(plain)
    tables = {
        "pandas": frame,
        "nullable": frame.convert_dtypes(),
        "object": frame.astype(object),
        "category": frame.astype({"color": "category"}),
        "arrow": pa.table(plain),
        "strings": pd.DataFrame({"size": ["1", " ", "3.0", "2"], "color": frame["color"]}),
    }
    expected = np.array([[1, 1], [NAN, 0], [3, NAN], [2, NAN]], np.float32)
    np.testing.assert_array_equal(expected, BOTH.clean(tables[kind]))


def test_order_and_surplus_of_columns_do_not_matter():
    frame = pd.DataFrame({"extra": [1], "color": ["red"], "size": [2]})
    np.testing.assert_array_equal([[2, 1]], BOTH.clean(frame))


def test_missing_column_is_named_with_the_closest():
    with pytest.raises(DataError, match="column 'color' is missing; the closest: colour"):
        BOTH.clean(pd.DataFrame({"colour": ["red"], "size": [2]}))


def test_doubled_column_is_refused():
    with pytest.raises(DataError, match="column 'size' occurs 2 times"):
        BOTH.clean(pd.DataFrame([[1, 2, "red"]], columns=["size", "size", "color"]))


@pytest.mark.parametrize("cells", [["1", "abc"], pd.Series(["1", "abc"], dtype=object)])
def test_text_in_a_numeric_column_is_refused_with_its_row(cells):
    with pytest.raises(DataError, match="column 'size', row 2: 'abc' is not a number"):
        BOTH.clean({"size": cells, "color": ["red", "red"]})


def test_cells_that_are_no_values_are_refused():
    with pytest.raises(DataError, match="row 2 holds a list; cells are numbers"):
        BOTH.clean({"size": ["1", [2]], "color": ["red", "red"]})


@pytest.mark.parametrize("wrong", [math.inf, -math.inf, 1e39, "inf", "1e400"])
def test_infinite_numbers_are_refused(wrong):
    with pytest.raises(DataError, match="column 'size', row 1"):
        BOTH.clean({"size": [wrong], "color": ["red"]})


def test_unknown_categories_are_missing_and_counted():
    table = {"size": [1, None, 3], "color": ["blue", "red", "blue"]}
    counts = CellCounts()
    np.testing.assert_array_equal([NAN, 1, NAN], BOTH.clean(table, counts)[:, 1])
    BOTH.clean({"size": [1], "color": [" "]}, counts)
    assert (4, {"size": 1, "color": 1}) == (counts.rows, counts.missing)
    assert {"color": {"blue": 2}} == counts.unknown


def test_grouped_column_takes_unknown_categories_as_other():
    column = Column("color", "categorical", ("red", OTHER_CATEGORY))
    grouped = Schema((column,))
    table = {"color": ["blue", "red", None]}
    np.testing.assert_array_equal([[1], [0], [NAN]], grouped.clean(table))


def test_hashed_column_needs_no_vocabulary_and_no_process():
    hashed = Schema((Column("color", "categorical", buckets=8),))
    codes = hashed.clean({"color": ["red", "green", None]})
    expected = [[zlib.crc32(b"red") % 8], [zlib.crc32(b"green") % 8], [NAN]]
    np.testing.assert_array_equal(expected, codes)
    assert (3, 8) == hashed.expand(codes).shape


def test_numbers_find_their_category_in_any_spelling():
    column = Schema((Column("grade", "categorical", ("1", "2", "false")),))
    cells = [1, 1.0, "1", "1.0", "2", np.int64(2), np.float32(2), False, "False", np.bool_(False)]
    np.testing.assert_array_equal(
        [0, 0, 0, 0, 1, 1, 1, 2, 2, 2], column.clean({"grade": cells})[:, 0]
    )


def test_declared_markers_are_missing_in_numbers_and_texts():
    marked = Schema(
        (
            Column("days", "numeric", missing=("999", "?")),
            Column("job", "categorical", ("cook",), missing=("unknown",)),
        )
    )
    table = {"days": ["999", "?", "5"], "job": ["cook", "unknown", "cook"]}
    np.testing.assert_array_equal([[NAN, 0], [NAN, NAN], [5, 0]], marked.clean(table))
    np.testing.assert_array_equal(
        [NAN, 5], marked.clean({"days": [999, 5], "job": ["cook"] * 2})[:, 0]
    )


def test_clip_and_transform_act_on_float64():
    numbers = Schema(
        (
            Column("a", "numeric", clip=(0.0, 10.0)),
            Column("b", "numeric", transform="log"),
            Column("c", "numeric", transform="log1p"),
        )
    )
    cleaned = numbers.clean({"a": [-5, 99], "b": [1, math.e**2], "c": [0, math.e - 1]})
    np.testing.assert_allclose([[0, 0, 0], [10, 2, 1]], cleaned, rtol=1e-7)
    with pytest.raises(DataError, match="column 'b', row 2: log needs numbers above 0, got 0"):
        numbers.clean({"a": [1, 1], "b": [1, 0], "c": [1, 1]})


def test_dates_become_parts():
    parts = Schema(tuple(Column(f"at.{p}", "numeric", source="at", part=p) for p in DATE_PARTS))
    expected = np.array([[2024, 2, 29, 3, 23], [1969, 12, 31, 2, 0], [NAN] * 5], np.float32)
    texts = ["2024-02-29 23:15:00", "1969-12-31", None]
    moments = pd.to_datetime(pd.Series(texts), format="ISO8601")
    for cells in (texts, moments, pa.array(moments)):
        np.testing.assert_array_equal(expected, parts.clean(pa.table({"at": cells})))
    np.testing.assert_array_equal(expected, parts.clean(pd.DataFrame({"at": moments})))
    zoned = moments.dt.tz_localize("Europe/Berlin")
    for cells in (zoned, ["2024-02-29T23:15:00+01:00", "1969-12-31T00:00:00Z", " "]):
        np.testing.assert_array_equal(expected, parts.clean({"at": cells}))
    with pytest.raises(DataError, match=r"column 'at', row 1: '1\.2\.2024' is not a date"):
        parts.clean({"at": ["1.2.2024"]})


def test_expand_hides_missing_categories_and_adds_indicators():
    both = Schema(
        (Column("size", "numeric", indicator=True), Column("color", "categorical", ("g", "r")))
    )
    features = both.expand(np.array([[1.5, 1], [NAN, NAN]], np.float32))
    assert ("size", "size is missing", "color=g", "color=r") == both.feature_names
    np.testing.assert_array_equal([[1.5, 0, 0, 1], [NAN, 1, 0, 0]], features)
    assert np.float32 == features.dtype


def test_targets_are_encoded_by_task():
    y = {"y": ["b", "a", "b"]}
    binary = Schema((), Target("y", "binary", ("a", "b")))
    three = Schema((), Target("y", "multiclass", ("a", "b", "c")))
    number = Schema((), Target("y", "regression"))
    np.testing.assert_array_equal([[1], [0], [1]], binary.encode_target(y))
    np.testing.assert_array_equal([[0, 1, 0], [1, 0, 0], [0, 1, 0]], three.encode_target(y))
    np.testing.assert_array_equal([[0.5], [2]], number.encode_target({"y": [0.5, 2]}))


def test_strange_class_is_refused_with_counts():
    binary = Schema((), Target("y", "binary", ("a", "b")))
    with pytest.raises(DataError, match=r"2 rows say 'a\.'.*data\.columns\.y\.replace"):
        binary.encode_target({"y": ["a.", "b", "a."]})
    replaced = Schema((), Target("y", "binary", ("a", "b"), replace=(("a.", "a"),)))
    np.testing.assert_array_equal([[0], [1]], replaced.encode_target({"y": ["a.", "b"]}))


texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=8)
columns = st.builds(
    Column,
    name=texts,
    kind=st.sampled_from(["numeric", "categorical"]),
    vocabulary=st.lists(texts, unique=True, max_size=4).map(tuple),
    missing=st.lists(texts, max_size=2).map(tuple),
    replace=st.lists(st.tuples(texts, texts), max_size=2).map(tuple),
    indicator=st.booleans(),
    clip=st.none() | st.tuples(st.floats(-9, 0), st.floats(1, 9)),
    impute=st.sampled_from(["median", "mean", 0.5]),
)
targets = st.none() | st.builds(
    Target,
    name=texts,
    kind=st.sampled_from(["binary", "regression"]),
    classes=st.lists(texts | st.integers(-99, 99), max_size=3).map(tuple),
)


@given(st.lists(columns, max_size=4).map(tuple), targets)
def test_schema_survives_json(columns, target):
    whole = Schema(columns, target)
    assert whole == Schema.from_json(json.loads(json.dumps(whole.to_json())))


@given(st.lists(st.none() | st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20), st.data())
@settings(max_examples=50)
def test_tables_mean_the_same_in_pandas_and_arrow(numbers, draw):
    colors = draw.draw(
        st.lists(
            st.none() | st.sampled_from(["red", "green", "blue", " red"]),
            min_size=len(numbers),
            max_size=len(numbers),
        )
    )
    table = pa.table(
        {"size": pa.array(numbers, pa.float64()), "color": pa.array(colors, pa.string())}
    )
    expected = BOTH.clean({"size": numbers, "color": colors})
    np.testing.assert_array_equal(expected, BOTH.clean(table))
    np.testing.assert_array_equal(expected, BOTH.clean(table.to_pandas()))


def test_schema_stands_alone_beside_a_served_model(tmp_path: Path):
    for name in CODE:
        source = Path(schema.__file__).with_name(f"{name}.py")
        shutil.copy(source, tmp_path / f"hpsearch_{name}.py")
    (tmp_path / "schema.json").write_text(json.dumps(BOTH.to_json()))
    script = (
        "import json, sys, hpsearch_schema as schema, hpsearch_delimited\n"
        "s = schema.Schema.from_json(json.load(open('schema.json')))\n"
        "print(s.clean({'size': ['1.5'], 'color': ['red']}).tolist())\n"
        "try: s.clean({'size': [1]})\n"
        "except schema.DataError as error: print(error)\n"
        "print([m for m in ('hpsearch', 'pandas', 'pyarrow') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert [
        "[[1.5, 1.0]]",
        "column 'color' is missing; the closest: size",
        "[]",
    ] == done.stdout.splitlines()
