"""Rows that do not fit in memory: the same columns, folds and locked rows as in memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from stored_rows import assert_same_rows_on_disk

from hpsearch.data import (
    column_inference,
    load,
    loading,
    mapped_parquet,
    row_store,
    spilled_rows,
)
from hpsearch.errors import DataError
from hpsearch.spec.data_spec import CrossValidationSpec, DataSpec
from hpsearch.study.maintenance.source_copies import find_stored_rows
from hpsearch.tracking.store import source_folder

N = 600
LITTLE = 1e-6  # GiB
RANDOM = np.random.default_rng(5)
TABLE = pa.table(
    {
        "x": np.where(RANDOM.random(N) < 0.1, np.nan, RANDOM.normal(size=N)),
        "count": RANDOM.integers(0, 50, N).astype(np.int32),
        "colour": pa.array(RANDOM.choice(["red", "green", "blue"], N)).dictionary_encode(),
        "size": pa.array(RANDOM.choice(["1", "2", "3"], N)).dictionary_encode(),
        "embedding": list(RANDOM.normal(size=(N, 3))),
        "address": pa.array([{"lat": i % 7, "city": "ab"[i % 2]} for i in range(N)]),
        "day": pa.array(RANDOM.permutation(N).astype("datetime64[D]")),
        "note": [" ".join("abcdefg"[: i % 7]) or None for i in range(N)],
        "shop": [f"s{i % 25}" for i in range(N)],
        "y": RANDOM.permutation(np.where(np.arange(N) % 5 == 0, "yes", "no")),
    }
)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Several parts of everything."""
    monkeypatch.setattr(mapped_parquet, "GROUP_COLUMNS", 3)
    monkeypatch.setattr(spilled_rows, "BATCH_ROWS", 100)
    monkeypatch.setattr(row_store, "PART_BYTES", 4096)
    monkeypatch.setattr(column_inference, "TEXTS_AT_ONCE", 90)


@pytest.fixture
def folder(tmp_path) -> Path:
    parts = tmp_path / "lake"
    for i in range(3):
        (parts / f"month={i}").mkdir(parents=True)
        part = TABLE.slice(i * N // 3, N // 3)
        parquet.write_table(part, parts / f"month={i}" / "part-0.parquet", row_group_size=77)
    return parts


def read(folder: Path, memory_gib: float | None, cv: CrossValidationSpec, **options):
    declared = {"target": "y", "columns": {"day": {"kind": "date"}}, "indicator": True, **options}
    data = DataSpec(source=str(folder), memory_gib=memory_gib, **declared)
    cache = folder.parent / "cache"
    return load(data, task=None, cross_validation=cv, seed=3, folder=folder.parent, cache=cache)


@pytest.mark.parametrize(
    ("cv", "options"),
    [
        (CrossValidationSpec(folds=3), {}),
        (CrossValidationSpec(folds=3), {"drop": ["day"], "columns": {"note": {"kind": "text"}}}),
        (CrossValidationSpec(kind="group", group="shop", folds=3), {"scaling": "quantile"}),
        (
            CrossValidationSpec(kind="time_series", time="day", folds=3),
            {"columns": {}, "scaling": "robust_clip", "rows": 200},
        ),
    ],
)
def test_rows_on_disk_are_those_of_memory(folder, cv, options):
    small, large = read(folder, None, cv, **options), read(folder, LITTLE, cv, **options)
    assert_same_rows_on_disk(small, large)


def test_rows_are_stored_once_and_nothing_else_is_left(folder):
    cv = CrossValidationSpec(folds=3)
    first = read(folder, LITTLE, cv)
    again = read(folder, LITTLE, cv)
    assert first.features.filename == again.features.filename
    left = sorted(p.name for p in (folder.parent / "cache").rglob("*") if p.is_file())
    assert ["columns.npy", "features.npy", "locked.npy"] == left


def test_features_and_columns_are_mapped_in_the_order_in_which_they_are_read(folder):
    data = read(folder, LITTLE, CrossValidationSpec(folds=3))
    assert isinstance(data.features, np.memmap)
    assert (True, True) == (data.features.flags.c_contiguous, data.columns.flags.f_contiguous)


def test_an_infinite_number_is_refused_with_its_row(folder):
    path = folder / "month=2" / "part-0.parquet"
    table = parquet.read_table(path, partitioning=None)
    wrong = np.where(np.arange(len(table)) == 150, np.inf, 1.0)
    parquet.write_table(table.set_column(0, "x", pa.array(wrong)), path)
    with pytest.raises(DataError, match="column 'x', row 551: inf is"):
        read(folder, LITTLE, CrossValidationSpec(folds=3))


def test_what_needs_all_rows_in_memory_is_refused(folder, monkeypatch):
    with pytest.raises(DataError, match=r"data\.windows needs them there: leave it out"):
        read(folder, LITTLE, CrossValidationSpec(), windows={"rows": 3})
    monkeypatch.setattr(loading, "embed_images", lambda source, *_: source)
    with pytest.raises(DataError, match=r"data\.columns\.colour\.kind: image needs"):
        read(folder, LITTLE, CrossValidationSpec(), columns={"colour": {"kind": "image"}})


def test_gc_finds_the_stored_rows(folder, tmp_path):
    cache = source_folder(tmp_path)
    data = DataSpec(source="lake", target="y", drop=["day"], memory_gib=LITTLE)
    cv = CrossValidationSpec(folds=3)
    load(data, task=None, cross_validation=cv, seed=3, folder=tmp_path, cache=cache)
    (found,) = find_stored_rows(tmp_path)
    assert ("mlruns/sources/rows", True) == (found.study, found.size > 600 * 4)
    assert [cache / "rows"] == [store.parent for store in found.folders]


PEAK = """
import sys, threading, time
from pathlib import Path
from hpsearch.data import load
from hpsearch.spec.data_spec import CrossValidationSpec, DataSpec

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

def watch():
    while not over.wait(0.01):
        seen.append(anonymous())

folder = Path(sys.argv[1])
data = DataSpec(source="lake", target="y", memory_gib=float(sys.argv[2]), impute="mean")
over, seen = threading.Event(), [anonymous()]
watcher = threading.Thread(target=watch)
watcher.start()
dataset = load(data, task="binary", cross_validation=CrossValidationSpec(folds=2), seed=0,
               folder=folder, cache=folder / "cache")
dataset.fold_statistics([fold.train for fold in dataset.folds])
over.set()
watcher.join()
print(dataset.on_disk, max(seen) - seen[0])
"""


def measure_peak(folder: Path, n_rows: int, memory_gib: float) -> tuple[str, int]:
    """Load 151 columns in a process; return where its rows are, and its peak in bytes."""
    (folder / "lake").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(4):
        columns = {f"x{j}": rng.integers(0, 9, n_rows // 4) / 2 for j in range(150)}
        table = pa.table({**columns, "y": rng.integers(0, 2, n_rows // 4)})
        parquet.write_table(table, folder / "lake" / f"part-{i}.parquet")
    command = [sys.executable, "-c", PEAK, str(folder), str(memory_gib)]
    on_disk, kilobytes = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.split()
    return on_disk, int(kilobytes) * 1024


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="RssAnon is Linux's")
def test_reading_takes_less_memory_than_half_of_the_table(tmp_path):
    """Imports included; in memory a quarter of the rows take more than their table."""
    where, peak = measure_peak(tmp_path / "large", 800_000, 0.1)
    assert ("True", True) == (where, peak < 800_000 * 151 * 8 / 2)
    where, peak = measure_peak(tmp_path / "small", 200_000, 100)
    assert ("False", True) == (where, peak > 200_000 * 151 * 8)
