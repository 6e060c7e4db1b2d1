"""Damaged files: a one-line error with the position, and no silently shifted cells."""

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpsearch.data.sources import read_source
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

GOOD = "a,b,y\n" + "".join(f"{i},{i % 7}.5,{'no' if i % 2 else 'yes'}\n" for i in range(40))
DAMAGE = [b"", b'"', b",", b"\n", b"\r", b"\x00", b"\xe9", b";", b"inf", b"2024-01-01", b"9" * 25]


def with_line(number: int, line: str) -> str:
    """GOOD with its line `number` (1-based) replaced."""
    lines = GOOD.splitlines()
    lines[number - 1] = line
    return "\n".join(lines) + "\n"


def test_the_good_file_loads(load_file):
    data = load_file(GOOD)
    assert (40, "binary", ("no", "yes")) == (
        data.n_rows + len(data.locked_rows),
        data.task,
        data.schema.target.classes,
    )


BAD = {
    "truncated row": (with_line(9, "7,3.5"), "line 9: 2 fields, expected 3: '7,3.5'"),
    "cut at the end": (GOOD[:-7], r"line 41: \d fields, expected 3"),
    "extra field": (with_line(5, "3,3.5,no,no"), "line 5: 4 fields, expected 3"),
    "extra field in every row": (
        GOOD.replace("\n", ",1\n").replace("y,1\n", "y\n", 1),
        "line 2: 4 fields, expected 3",
    ),
    "ragged after blank lines": (
        with_line(4, "\n\n2,2.5,yes").replace("\n7,", "\n7,7,"),
        "line 11: 4 fields",
    ),
    "open quote": (with_line(41, '39,"4.5,no'), "line 41: a quote is opened and never closed"),
    "latin-1": (with_line(12, "10,caf\xe9,yes").encode("latin-1"), "line 12: byte 0xe9"),
    "latin-1 header": (GOOD.replace("a,", "\xe9,", 1).encode("latin-1"), "line 1: byte 0xe9"),
    "utf-16": (GOOD.encode("utf-16"), "line 1: UTF-16"),
    "utf-16 without a mark": (GOOD.encode("utf-16-le"), "line 1: a NUL byte"),
    "NUL bytes": (with_line(7, "5,\x005.5,no"), "line 7: a NUL byte"),
    "empty": ("", "the file is empty"),
    "blank": ("\n \n", "the file is empty"),
    "header only": ("a,b,y\n", "a header and no rows"),
    "duplicate columns": (GOOD.replace("b", "a", 1), r"line 1: .*'a' \(columns 1, 2\)"),
    "header is missing": (
        "".join(f"{i},{i % 7}.5,{i % 2}\n" for i in range(40)),
        "line 1: 0, 0.5, 0, … are numbers",
    ),
    "one column": ("y\n1\n2\n", "line 1: one column only"),
    "a column without a name": (GOOD.replace("a,", ",", 1), r"column 1 has no name.*unnamed_1"),
    "workbook": (b"PK\x03\x04" + b"\x00" * 30, "Excel"),
    "infinite number": (with_line(6, "4,inf,no"), "column 'b', row 5: inf is infinite"),
    "beyond float32": (with_line(6, "4,1e39,no"), "column 'b', row 5: 1e"),
    "target missing": (with_line(6, "4,1.5,"), "target 'y' is missing in 1 of 40 rows.*row 5"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_file_is_refused_in_one_line_with_the_position(load_file, fault, figure):
    content, message = BAD[fault]
    with pytest.raises(DataError, match=message) as caught:
        load_file(content)
    assert 1 == len(str(caught.value).splitlines())
    assert "rows" in str(caught.value).split(":")[0]  # the file's name
    figure(kinds_of_damage=len(BAD), tracebacks=0)


def test_cut_gzip_file_is_refused(load_file):
    with pytest.raises(DataError, match="gzip file is damaged or cut off"):
        load_file(gzip.compress(GOOD.encode())[:-20], name="rows.csv.gz")


def test_flipped_gzip_byte_is_refused(load_file):
    packed = bytearray(gzip.compress(GOOD.encode()))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(DataError, match="gzip file is damaged or cut off"):
        load_file(bytes(packed), name="rows.csv.gz")


def test_missing_file_names_the_place(load_file):
    with pytest.raises(DataError, match=r"other\.csv: there is no such file"):
        load_file(GOOD, source="other.csv")


@pytest.mark.parametrize("suffix", ["parquet", "feather", "npy", "npz"])
def test_text_under_a_binary_name_is_refused(load_file, suffix):
    with pytest.raises(DataError, match=f"not readable as {suffix}"):
        load_file(GOOD, name=f"rows.{suffix}")


def test_byte_order_mark_is_accepted(load_file):
    assert load_file(GOOD).fingerprint == load_file(b"\xef\xbb\xbf" + GOOD.encode()).fingerprint


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_separator_is_found_out(load_file, separator):
    other = GOOD.replace(",", separator)
    assert load_file(GOOD).fingerprint == load_file(other).fingerprint


def test_windows_line_ends_and_gzip_change_nothing(load_file):
    packed = gzip.compress(GOOD.replace("\n", "\r\n").encode())
    assert load_file(GOOD).fingerprint == load_file(packed, name="rows.csv.gz").fingerprint


def test_quoted_separators_and_newlines_are_one_cell(load_file):
    data = load_file(with_line(3, '1,1.5,"no"') + '40,"1.5","yes"\n')
    assert 41 == data.n_rows + len(data.locked_rows)
    with pytest.raises(DataError, match="line 4: 4 fields"):
        load_file(with_line(2, '"0\n",0.5,yes').replace("1,1.5", "1,1,5"))


def test_decimal_comma_is_read_when_declared(load_file):
    other = GOOD.replace(",", ";").replace(".", ",")
    assert load_file(GOOD).fingerprint == load_file(other, decimal=",").fingerprint


def test_file_without_header_takes_declared_names(load_file):
    body = GOOD.split("\n", 1)[1]
    assert load_file(GOOD).fingerprint == load_file(body, names=["a", "b", "y"]).fingerprint
    assert "c0" in load_file(body, header=False, target="c2").schema.raw_columns
    with pytest.raises(DataError, match=r"3 fields, but data\.names has 2"):
        load_file(body, names=["a", "y"])


@given(
    st.lists(
        st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.sampled_from(DAMAGE)),
        min_size=1,
        max_size=3,
    )
)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it only holds a folder
)
def test_damaged_file_loads_whole_or_is_refused(load_file, damages):
    """Whatever is cut out of the file or put into it: a data set, or one of our own errors."""
    content = GOOD.encode()
    for start, length, put in damages:
        content = content[:start] + put + content[start + length :]
    try:
        data = load_file(content)
    except DataError as error:
        data, said = None, str(error).splitlines()
    if data is None:
        assert 1 == len(said)
        return
    rows = data.locked_rows.read()
    lines = content.strip().replace(b"\r", b"\n").count(b"\n")
    assert 2 == len(data.schema.raw_columns)
    assert lines >= data.n_rows + len(rows.target)
    assert not np.isinf(data.columns).any()


@pytest.mark.parametrize("note", ["sep=;", '"sep=;"', "SEP=\t", "sep=,\r"])
def test_excels_note_of_the_separator_is_refused_by_name(tmp_path, note):
    path = tmp_path / "rows.csv"
    path.write_bytes(f"{note}\na;y\n1;2\n3;4\n".encode())
    with pytest.raises(DataError, match=r"line 1: .*Excel's separator line"):
        read_source(DataSpec(source="rows.csv"), tmp_path)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_another_encoding_is_refused_with_how_to_convert_it(tmp_path, encoding):
    (tmp_path / "rows.csv").write_bytes("name;y\nOslo;1\nMünchen;2\n".encode(encoding))
    with pytest.raises(DataError, match=r"line 3: byte 0xfc is not UTF-8 text.*iconv"):
        read_source(DataSpec(source="rows.csv"), tmp_path)


@pytest.mark.parametrize(
    ("content", "format_name"),
    [
        (b"ORC\n\x00", "an ORC file"),
        (b"Obj\x01\x04", "an Avro file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"PAR1\x15\x04", r"a Parquet or Arrow file whose name"),
        (b"\x80\x04\x95", "a pickle, which could run code"),
        (b"\x28\xb5\x2f\xfd\x04", "compressed by another method than gzip"),
        (b"SQLite format 3\x00", "a SQLite database"),
        (b'[\n {"a": 1, "y": 0}]', "JSON"),
        (b'{"a": 1, "y": 0}\n', "JSON"),
    ],
)
def test_a_file_of_another_format_is_refused_by_name(load_file, content, format_name):
    with pytest.raises(DataError, match=f"{format_name}.*Save it as CSV or Parquet"):
        load_file(content)
