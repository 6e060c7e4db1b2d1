"""Every source gives the same data set."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet

from hpsearch.data import load
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import DataSpec

ROWS = 60
TABLE = pa.table(
    {
        "size": pa.array([float(i % 11) for i in range(ROWS)]),
        "color": pa.array([("red", "green", None)[i % 3] for i in range(ROWS)]),
        "y": pa.array([i % 2 for i in range(ROWS)]),
    }
)


def read(folder: Path, source: str, **data):
    spec = DataSpec(source=source, **{"target": "y", **data})
    return load(spec, task=None, cross_validation=None, seed=1, folder=folder)


def written(folder: Path) -> dict[str, str]:
    """The table in every format: its name -> the source."""
    csv.write_csv(TABLE, folder / "t.csv")
    parquet.write_table(TABLE, folder / "t.parquet", row_group_size=7)
    feather.write_feather(TABLE, folder / "t.feather", chunksize=9)
    (folder / "parts").mkdir()
    for k in range(3):
        parquet.write_table(TABLE.slice(20 * k, 20), folder / "parts" / f"p{k}.parquet")
        csv.write_csv(TABLE.slice(20 * k, 20), folder / f"part-{k}.csv")
    return {
        "csv": "t.csv",
        "parquet": "t.parquet",
        "feather": "t.feather",
        "folder": "parts",
        "glob": "part-*.csv",
        "parquet glob": "parts/p*.parquet",
    }


def test_every_format_gives_the_same_rows(tmp_path):
    found = {name: read(tmp_path, source) for name, source in written(tmp_path).items()}
    expected = found["parquet"]
    for name, data in found.items():
        assert expected.schema == replace(data.schema, layout=None), name
        np.testing.assert_array_equal(expected.columns, data.columns, name)
        np.testing.assert_array_equal(expected.target, data.target, name)


def test_fingerprint_depends_on_no_chunk_and_no_file_name(tmp_path):
    prints = {name: read(tmp_path, s).fingerprint for name, s in written(tmp_path).items()}
    assert 1 == len({prints[n] for n in ("parquet", "feather", "folder", "parquet glob")})
    assert prints["csv"] == prints["glob"]  # a blank text is not Parquet's null


def test_dictionary_and_large_string_columns_are_text(tmp_path):
    text = TABLE["color"].cast(pa.large_string())
    coded = TABLE["color"].dictionary_encode()
    for name, column in (("large", text), ("coded", coded)):
        parquet.write_table(TABLE.set_column(1, "color", column), tmp_path / f"{name}.parquet")
    parquet.write_table(TABLE, tmp_path / "t.parquet")
    expected = read(tmp_path, "t.parquet").fingerprint
    assert expected == read(tmp_path, "large.parquet").fingerprint
    assert expected == read(tmp_path, "coded.parquet").fingerprint


def test_files_of_a_glob_must_agree(tmp_path):
    csv.write_csv(TABLE, tmp_path / "a1.csv")
    csv.write_csv(TABLE.rename_columns(["size", "colour", "y"]), tmp_path / "a2.csv")
    with pytest.raises(DataError, match=r"a2\.csv has other columns than a1\.csv"):
        read(tmp_path, "a*.csv")


def test_npz_brings_train_and_test_rows(tmp_path):
    x, y = np.arange(240.0).reshape(60, 4), np.arange(60) % 3
    np.savez(tmp_path / "one.npz", X=x, y=y)
    np.savez(tmp_path / "two.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    one, two = read(tmp_path, "one.npz"), read(tmp_path, "two.npz")
    assert (48, 12, 4) == (one.n_rows, len(one.locked_rows), one.n_columns)
    assert (40, 20) == (two.n_rows, len(two.locked_rows))
    np.testing.assert_array_equal(x[40:], two.locked_rows.read().columns)
    np.savez(tmp_path / "odd.npz", data=x)
    with pytest.raises(DataError, match="holds data; expected X and y"):
        read(tmp_path, "odd.npz")


def test_npy_columns_are_numbered(tmp_path):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).normal(size=(50, 3)))
    data = read(tmp_path, "t.npy", target="x2")
    assert (("x0", "x1"), "regression") == (data.schema.raw_columns, data.task)


def test_pickled_arrays_are_refused(tmp_path):
    np.save(tmp_path / "t.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not readable as npy"):
        read(tmp_path, "t.npy")


def test_function_of_the_user_is_called(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import numpy as np\n"
        "@dataclass\n"
        "class Size:\n    rows: int\n"
        "def rows():\n    return np.arange(80.0).reshape(40, 2), np.arange(Size(40).rows) % 2\n"
        "def fails():\n    raise ValueError('no network')\n"
        "number = 3\n"
    )
    assert 32 == read(tmp_path, "mine.py:rows", target=None).n_rows
    with pytest.raises(DataError, match=r"mine\.py:fails: it raised ValueError: no network"):
        read(tmp_path, "mine.py:fails")
    with pytest.raises(DataError, match=r"mine\.py has no function 'number'"):
        read(tmp_path, "mine.py:number")
    with pytest.raises(DataError, match=r"there is no file .*/other\.py"):
        read(tmp_path, "other.py:rows")
    with pytest.raises(DataError, match="neither a file nor a module"):
        read(tmp_path, "no_such_module:rows")
    (tmp_path / "broken.py").write_text("def rows(:\n")
    with pytest.raises(DataError, match=r"broken\.py cannot be imported: SyntaxError"):
        read(tmp_path, "broken.py:rows")
    assert "mine" not in sys.modules


def test_a_users_file_called_like_a_library_may_import_it(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    (tmp_path / "wave.py").write_text(
        "import wave\nimport numpy as np\nname = wave.Wave_read.__name__\n"
        "def rows():\n    return np.arange(80.0).reshape(40, 2), np.arange(40) % 2\n"
    )
    assert 32 == read(tmp_path, "wave.py:rows", target=None).n_rows


@pytest.mark.parametrize(
    ("name", "task", "n_features"),
    [
        ("breast_cancer", "binary", 30),
        ("digits", "multiclass", 64),
        ("wine", "multiclass", 13),
        ("diabetes", "regression", 10),
    ],
)
def test_scikit_learns_sets_work_with_no_file(tmp_path, name, task, n_features):
    data = read(tmp_path, f"sklearn:{name}", target=None)
    assert (task, n_features, 5) == (data.task, data.n_features, len(data.folds))


def test_set_that_would_be_downloaded_is_refused(tmp_path):
    with pytest.raises(DataError, match="would be downloaded"):
        read(tmp_path, "sklearn:california_housing", target=None)


def test_separate_test_file_is_locked_whole(tmp_path):
    csv.write_csv(TABLE.slice(0, 40), tmp_path / "train.csv")
    csv.write_csv(TABLE.slice(40), tmp_path / "test.csv")
    data = read(tmp_path, "train.csv", test_source="test.csv")
    assert (40, 20) == (data.n_rows, len(data.locked_rows))
    csv.write_csv(TABLE.slice(40).drop(["size"]), tmp_path / "test.csv")
    with pytest.raises(DataError, match="column 'size' is missing"):
        read(tmp_path, "train.csv", test_source="test.csv")


def test_arrays_and_frames_in_memory_agree(load_memory):
    frame = TABLE.to_pandas()
    pair = load_memory((frame[["size", "color"]], frame["y"]))
    whole = load_memory(frame, target="y")
    arrow = load_memory(TABLE, target="y")
    assert 1 == len({pair.fingerprint, whole.fingerprint, arrow.fingerprint})
    x, y = np.random.default_rng(0).normal(size=(30, 3)), ["a", "b"] * 15
    assert ("x0", "x1", "x2") == load_memory((x, y)).schema.raw_columns


def test_frames_and_targets_that_do_not_belong_together_are_refused(load_memory):
    frame = TABLE.to_pandas()
    x, y = frame[["size", "color"]], frame["y"]
    with pytest.raises(DataError, match="X has 60 rows, y has 59"):
        load_memory((x, y[:59].to_numpy()))
    with pytest.raises(DataError, match="different indices"):
        load_memory((x, y.sample(frac=1, random_state=0)))
    with pytest.raises(DataError, match=r"X has shape \(60,\)"):
        load_memory((x["size"].to_numpy(), y.to_numpy()))
    with pytest.raises(DataError, match="got a int"):
        load_memory(3)


def test_lists_of_several_lengths_are_refused(load_memory):
    cells = pa.array([[1] * (1 + i % 2) for i in range(ROWS)])
    with pytest.raises(DataError, match="column 'size' holds lists of 1 to 2 values"):
        load_memory(TABLE.set_column(0, "size", cells), target="y")
