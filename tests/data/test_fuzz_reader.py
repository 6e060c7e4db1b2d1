"""Fuzzing: any bytes are read as a table or refused with an HpsearchError."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpsearch.data.column_inference import infer_columns
from hpsearch.data.columns import Layout
from hpsearch.data.delimited import DelimitedText, read_head, read_texts
from hpsearch.data.schema import Schema
from hpsearch.data.sources import read_source
from hpsearch.data.target_inference import infer_targets
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

SEEDS = [
    b"a,b,y\n"
    + b"".join(b"%d,%d.5,%s\n" % (i, i % 7, b"yn"[i % 2 : i % 2 + 1]) for i in range(12)),
    b'"a\nx";b;y\r\n"1.250,5";03/04/2024;0.0\r\n"7";31/12/2024;1.0\r\n',
    "\ufeffa\tb\ty\r007\tTrue\té\r7\tTRUE\t日\r".encode(),
    b"a|y\n$1,250|12E3\n$3|1250\n2024-03-01T00:00:00+09:00|1\n",
    b"x\n1\n\n2\n",
    b"a,y\n0x1F,nan\n1e400,inf\n89014103211118510720,-0.0\n",
]
PIECES = [
    *(b"", b'"', b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\x00", b"\xe9", b"\xef\xbb\xbf"),
    *(b"inf", b"1e400", b"2024-02-30", b"9" * 25, b"\xff\xfe", b" ", b"NA", b"1,250.5", b"%", b"$"),
    *(b"PK\x03\x04", b"\x1f\x8b", b"PAR1", b"0x", b"0", b"'", "\u00a0".encode(), b"a" * 70000),
]
EDITS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 9), st.sampled_from(PIECES)), max_size=6
)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Random bytes, or a small table into which random pieces were put."""
    content = draw(st.one_of(st.sampled_from(SEEDS), st.binary(max_size=200)))
    for start, length, piece in draw(EDITS):
        content = content[:start] + piece + content[start + length :]
    return gzip.compress(content, 1) if draw(st.integers(0, 9)) == 0 else content


CATEGORICAL = {"kind": "categorical"}
SPECS = st.fixed_dictionaries(
    {
        "separator": st.sampled_from([None, ",", ";", "x"]),
        "decimal": st.sampled_from([".", ","]),
        "header": st.booleans(),
        "missing": st.sampled_from([[], ["?", -1]]),
        "columns": st.sampled_from(  # each of a column that may not be there
            [
                {},
                {"a": {"kind": "categorical"}},
                {"a": {"format": "1.250,5"}},
                {"b": {"kind": "date"}},
            ]
        ),
    }
)


def read_everywhere(content: bytes, options: dict[str, object]) -> None:
    """Training's reader and inference, then the reader of predict and serving."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows.csv").write_bytes(content)
        spec = DataSpec(source="rows.csv", **options)  # type: ignore[arg-type]
        try:
            source = read_source(spec, folder)
            names = source.table.column_names
            infer_targets(source.table, names[-1:], spec, None, source.origin)
            rows = range(source.table.num_rows)
            columns, _ = infer_columns(source.table, names[:-1], spec, list(rows), source.origin)
            again = DelimitedText(folder / "rows.csv")
            head = read_head(again, source.layout or Layout(), needed=names[:-1])
            for block in read_texts(again, head, names[:-1]):
                Schema(columns).clean(block)
        except DataError:
            return


@given(contents(), SPECS)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_bytes_are_read_or_refused(content: bytes, options: dict[str, object]) -> None:
    read_everywhere(content, options)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@given(contents(), SPECS)
@settings(max_examples=40_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_many_more_bytes_are_read_or_refused(content: bytes, options: dict[str, object]) -> None:
    read_everywhere(content, options)
