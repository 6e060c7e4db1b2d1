"""What is served equals what was scored, however a table is spelled and wherever it is read."""

from __future__ import annotations

import asyncio
import csv
import functools
import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from mlflow.models import Model
from mlflow.pyfunc import PyFuncModel, scoring_server
from mlflow.pyfunc.model import _PythonModelPyfuncWrapper
from pyarrow import parquet

import hpsearch.data.cells
from hpsearch.data import Dataset, load
from hpsearch.data.schema import Schema
from hpsearch.errors import DataError
from hpsearch.promotion import row_file, scoring, served_model
from hpsearch.promotion.answer_files import CsvAnswers
from hpsearch.promotion.package import CODE, _make_signature
from hpsearch.spec.data_spec import DataSpec

ROWS, LOCKED = 30, 8
PLAIN: dict[str, Any] = {}
CATEGORICAL = {"kind": "categorical"}


def numbers(form: str) -> st.SearchStrategy[str]:
    """Texts of numbers as `form` writes 1250.5."""
    group, decimal = form[1:2] if form[1:2] in (",", ".") and len(form) > 6 else "", form[-2]
    each = st.floats(-1e5, 1e5).map(lambda x: f"{x:,.3f}")
    swap = str.maketrans({",": group, ".": decimal})
    return each.map(lambda text: text.translate(swap))


CODES = ["007", "7", "3.1", "3.10", "12E3", "89014103211118510720", "89014103211118510721", "0"]
MOMENT = st.datetimes(
    pd.Timestamp("1950-01-01").to_pydatetime(), pd.Timestamp("2050-01-01").to_pydatetime()
).map(lambda moment: moment.replace(microsecond=0))
OFFSET = st.sampled_from(["", "Z", "+09:00", "-03:30"])
TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), max_size=6)
# What a column may hold: its cells, and what is declared of it.
COLUMNS = {
    "number": (st.floats(-1e6, 1e6, width=32).map(repr), PLAIN),
    "whole": (st.integers(-99, 9999).map(str), PLAIN),
    "science": (st.floats(1e-9, 1e9).map(lambda x: f"{x:.3e}"), PLAIN),
    "comma": (numbers("1250,5"), {"format": "1250,5"}),
    "thousands": (numbers("1,250.5"), {"format": "1,250.5"}),
    "points": (numbers("1.250,5"), {"format": "1.250,5"}),
    "money": (st.integers(0, 10**7).map(lambda n: f"${n:,}"), {"format": "$1,250.5"}),
    "declared code": (st.sampled_from(CODES), CATEGORICAL),
    "code": (st.sampled_from(["007", "012", "123"]), PLAIN),
    "truth": (st.sampled_from(["True", "TRUE", "false", "no", "Yes"]), PLAIN),
    "flag": (st.sampled_from(["True", "False"]), PLAIN),
    "text": (st.sampled_from(["red", " red", "Red", 'a"b', "a,b;c|d", "é\n日", "NA"]), PLAIN),
    "any text": (TEXT, {"kind": "categorical", "group_rare": 2}),
    "hashed": (TEXT, {"buckets": 8}),
    "date": (MOMENT.map(lambda m: f"{m:%Y-%m-%d}"), {"kind": "date"}),
    "moment": (st.builds(lambda m, o: m.isoformat() + o, MOMENT, OFFSET), {"kind": "date"}),
    "day": (MOMENT.map(lambda m: f"{m:%d/%m/%Y}"), {"kind": "date", "format": "DD/MM/YYYY"}),
    "slot": (st.sampled_from(["2024-03-01T00:00:00", "2024-03-01T12:00:00+09:00"]), CATEGORICAL),
}
MISSING = {"text": ["", " "], "any text": [""], "declared code": [""], "slot": [""], "hashed": [""]}
SLOTS = [pd.Timestamp(f"2024-03-0{d}T{h:02}:00:00") for d in (1, 2) for h in (0, 12)]
LABELS = [["no", "yes"], ["0.0", "1.0", "2.0"], ["True", "FALSE", "true"], [" a", "a ", "b"]]


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Cells by column, what is declared, and how the file is written."""
    kinds = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4, unique=True))
    columns, declared = {}, {}
    for kind in kinds:
        cell, spec = COLUMNS[kind]
        blank = st.sampled_from(MISSING.get(kind, ["", " ", "NA", "null", "?"]))
        cells = draw(st.lists(cell, min_size=1, max_size=7))
        cells += draw(st.lists(blank, max_size=2))
        each = st.sampled_from(cells)
        columns[kind] = draw(st.lists(each, min_size=ROWS + LOCKED, max_size=ROWS + LOCKED))
        if spec:
            declared[kind] = spec
    labels = draw(st.sampled_from(LABELS))
    columns["y"] = [labels[i % len(labels)] for i in range(ROWS + LOCKED)]
    return {
        "columns": columns,
        "data": {"columns": declared, "missing": ["?"]},
        "separator": draw(st.sampled_from(",;\t|")),
        "line": draw(st.sampled_from(["\n", "\r\n", "\r"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        "mark": draw(st.sampled_from([b"", b"\xef\xbb\xbf"])),
        "packed": draw(st.booleans()),
        "header": draw(st.booleans()),
    }


def text_of(table: dict[str, Any], rows: slice, *, header: bool) -> str:
    """The rows as delimited text."""
    out, line = io.StringIO(), table["line"]
    # Beside another line end, Python's writer leaves a line feed within a cell without quotes.
    quoting = table["quoting"] if line == "\n" else csv.QUOTE_ALL
    writer = csv.writer(out, delimiter=table["separator"], lineterminator=line, quoting=quoting)
    if header:
        writer.writerow(table["columns"])
    writer.writerows(zip(*(cells[rows] for cells in table["columns"].values()), strict=True))
    return out.getvalue()


@functools.cache
def network(n_columns: int, n_outputs: int) -> Any:
    """A network of fixed weights over cleaned columns, in which a missing one is a value too."""
    keras.utils.set_random_seed(n_columns)
    columns = keras.Input((n_columns,))
    known = keras.ops.where(keras.ops.isnan(columns), -1.0, columns)
    squeezed = keras.ops.tanh(known / 100.0) + keras.ops.tanh(known / 1e5)
    last = keras.layers.Dense(
        n_outputs,
        activation="sigmoid" if n_outputs == 1 else "softmax",
        kernel_initializer="normal",
    )
    return keras.Model(columns, last(keras.layers.Dense(16, activation="tanh")(squeezed)))


def opened(schema: Schema) -> PyFuncModel:
    """The MLflow model around the network, with the code and signature of a real one."""
    model = served_model.ServedModel()
    model.code = {name: getattr(hpsearch.data, name) for name in CODE}  # beside a served model
    model.schema = Schema.from_json(json.loads(json.dumps(schema.to_json())))
    assert schema.target is not None
    model.model = network(len(schema.columns), schema.target.n_outputs)
    served_model._serve_csv(model.schema, model.code)
    signature = _make_signature(schema)
    wrapped = _PythonModelPyfuncWrapper(model, None, signature)
    meta = Model(signature=signature, flavors={"python_function": {"loader_module": "none"}})
    return PyFuncModel(model_meta=meta, model_impl=wrapped)


def probabilities(answer: pd.DataFrame) -> np.ndarray:
    names = [name for name in answer if str(name).startswith("probability_")]
    return answer[names].to_numpy(np.float64)


def scored(data: Dataset) -> np.ndarray:
    """What the network says of the locked rows, as the study would score them."""
    assert data.locked_rows is not None
    columns = data.locked_rows.read().columns
    scores = np.asarray(network(columns.shape[1], data.schema.target.n_outputs)(columns))
    return np.hstack([1 - scores, scores]) if scores.shape[1] == 1 else scores


def predicted(model: PyFuncModel, schema: Schema, file: Path) -> np.ndarray:
    """What `hpsearch predict` writes for a file."""
    out = io.StringIO()
    rows = row_file.RowFile(file, schema, None, ())
    scoring._predict_rows(model.unwrap_python_model(), rows, CsvAnswers(out), {})
    return probabilities(pd.read_csv(io.StringIO(out.getvalue())))


def served(model: PyFuncModel, body: str, content_type: str) -> np.ndarray:
    """What MLflow's scoring server answers."""
    app = scoring_server.init(model)
    done: dict[str, Any] = {"body": b""}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        done["status"] = message.get("status", done.get("status"))
        done["body"] += message.get("body", b"")

    head = [(b"content-type", content_type.encode()), (b"host", b"localhost")]
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST"}
    scope |= {"path": "/invocations", "raw_path": b"/invocations", "query_string": b""}
    scope |= {"headers": head, "scheme": "http", "server": ("localhost", 80), "client": ("a", 1)}
    asyncio.run(app(scope, receive, send))
    assert 200 == done["status"], done["body"]
    return probabilities(pd.DataFrame(json.loads(done["body"])["predictions"]))


def check_answers(table: dict[str, Any], folder: Path) -> None:
    """One table through every door."""
    names = {"names": list(table["columns"])} if not table["header"] else {}
    train = text_of(table, slice(0, ROWS), header=table["header"])
    test = text_of(table, slice(ROWS, None), header=table["header"])
    for name, text in (("train", train), ("test", test)):
        content = table["mark"] + text.encode()
        (folder / name).write_bytes(gzip.compress(content) if table["packed"] else content)
    spec = DataSpec(source="train", test_source="test", target="y", **names, **table["data"])
    try:
        data = load(spec, task=None, cross_validation=None, seed=1, folder=folder)
    except DataError as error:
        said = str(error)
        event("refused")
        if not any(words in said for words in REFUSALS):
            raise
        assume(False)
    event("answered")
    model = opened(data.schema)
    expected = scored(data)
    again = predicted(model, data.schema, folder / "train")
    mine = np.asarray(network(data.columns.shape[1], data.schema.target.n_outputs)(data.columns))
    mine = np.hstack([1 - mine, mine]) if mine.shape[1] == 1 else mine
    np.testing.assert_allclose(mine, again[data.rows], atol=1e-6)
    np.testing.assert_allclose(expected, predicted(model, data.schema, folder / "test"), atol=1e-6)
    frame = pd.DataFrame({n: cells[ROWS:] for n, cells in table["columns"].items()}).drop(
        columns="y"
    )
    np.testing.assert_allclose(expected, probabilities(model.predict(frame)), atol=1e-6)
    body = json.dumps({"dataframe_split": json.loads(frame.to_json(orient="split"))})
    np.testing.assert_allclose(expected, served(model, body, "application/json"), atol=1e-6)
    np.testing.assert_allclose(expected, served(model, test, "text/csv"), atol=1e-6)
    rows = pa.table({name: cells[ROWS:] for name, cells in table["columns"].items()})
    parquet.write_table(rows, folder / "test.parquet")
    found = predicted(model, data.schema, folder / "test.parquet")
    np.testing.assert_allclose(expected, found, atol=1e-6)
    text = pa.table({name: cells[:ROWS] for name, cells in table["columns"].items()})
    parquet.write_table(text, folder / "train.parquet")
    spec = spec.model_copy(update={"source": "train.parquet", "test_source": "test.parquet"})
    other = load(spec, task=None, cross_validation=None, seed=1, folder=folder)
    np.testing.assert_allclose(expected, scored(other), atol=1e-6)


def run(table: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_answers(table, Path(folder))


# Tables that nothing could be learned from, or that need a word.
REFUSALS = (
    "no column tells",
    "several columns",
    "different values",
    "one column",
    "may be day",
    "in UTC",
)
SUPPRESSED = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


TYPED = {  # cells of a typed source, and what is declared of them
    "float": (st.none() | st.floats(-1e5, 1e5, width=32), pa.float64(), PLAIN),
    "whole": (st.none() | st.integers(-99, 9999), pa.int64(), PLAIN),
    "grade": (st.none() | st.integers(-2, 2), pa.int64(), CATEGORICAL),
    "half": (st.sampled_from([0.5, 1.0, 1.5]), pa.float64(), CATEGORICAL),
    "flag": (st.none() | st.booleans(), pa.bool_(), PLAIN),
    "text": (st.none() | st.sampled_from(["red", "1.0", "a,b"]), pa.string(), PLAIN),
    "moment": (st.none() | MOMENT, pa.timestamp("us"), {"kind": "date"}),
    "zoned": (st.none() | MOMENT, pa.timestamp("us", tz="Asia/Tokyo"), {"kind": "date"}),
    "UTC": (st.none() | MOMENT, pa.timestamp("ms", tz="UTC"), {"kind": "date"}),
    "zone": (
        st.none() | MOMENT,
        pa.timestamp("s", tz="+05:30"),
        {"kind": "date", "zone": "America/New_York"},
    ),
    "zoned slot": (st.sampled_from(SLOTS), pa.timestamp("s", tz="Europe/Berlin"), CATEGORICAL),
    "day": (MOMENT.map(lambda m: m.date()), pa.date32(), {"kind": "date"}),
    "slot": (st.sampled_from(SLOTS), pa.timestamp("s"), CATEGORICAL),
}


@given(st.data())
@settings(max_examples=5, deadline=None, suppress_health_check=SUPPRESSED)
def test_typed_tables_are_answered_alike_as_they_are_and_as_text(draw: st.DataObject) -> None:
    check_typed_answers(draw)


@pytest.mark.long
@given(st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=SUPPRESSED)
def test_many_typed_tables_are_answered_alike(draw: st.DataObject) -> None:
    check_typed_answers(draw)


def check_typed_answers(draw: st.DataObject) -> None:
    """Parquet trains; Parquet, pandas, JSON and the CSV that Arrow or pandas makes of it ask."""
    names = draw.draw(st.lists(st.sampled_from(sorted(TYPED)), min_size=1, max_size=4, unique=True))
    columns, declared = {}, {}
    for name in names:
        cell, kind, spec = TYPED[name]
        cells = st.sampled_from(draw.draw(st.lists(cell, min_size=1, max_size=6)))
        size = ROWS + LOCKED
        columns[name] = pa.array(draw.draw(st.lists(cells, min_size=size, max_size=size)), kind)
        if spec:
            declared[name] = spec
    table = pa.table({**columns, "y": [i % 2 for i in range(ROWS + LOCKED)]})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parquet.write_table(table.slice(0, ROWS), folder / "train.parquet")
        parquet.write_table(table.slice(ROWS), folder / "test.parquet")
        spec = DataSpec(source="train.parquet", test_source="test.parquet", target="y")
        spec = spec.model_copy(update={"columns": DataSpec(columns=declared).columns})
        try:
            data = load(spec, task=None, cross_validation=None, seed=1, folder=folder)
        except DataError as error:
            if not any(words in str(error) for words in REFUSALS):
                raise
            assume(False)
        model, expected = opened(data.schema), scored(data)
        found = predicted(model, data.schema, folder / "test.parquet")
        np.testing.assert_allclose(expected, found, atol=1e-6)
        frame = table.slice(ROWS).to_pandas()
        np.testing.assert_allclose(expected, probabilities(model.predict(frame)), atol=1e-6)
        frame.to_csv(folder / "pandas.csv", index=False)
        found = predicted(model, data.schema, folder / "pandas.csv")
        np.testing.assert_allclose(expected, found, atol=1e-6)
        body = json.dumps(
            {"dataframe_split": json.loads(frame.to_json(orient="split", date_format="iso"))}
        )
        np.testing.assert_allclose(expected, served(model, body, "application/json"), atol=1e-6)


@given(tables())
@settings(max_examples=7, deadline=None, suppress_health_check=SUPPRESSED)
def test_every_way_of_serving_answers_as_the_study_scored(table: dict[str, Any]) -> None:
    run(table)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@given(tables())
@settings(max_examples=5000, deadline=None, suppress_health_check=SUPPRESSED)
def test_every_way_of_serving_answers_alike_for_many_tables(table: dict[str, Any]) -> None:
    run(table)
