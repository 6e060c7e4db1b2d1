"""What rows that do not fit in memory cost: anonymous memory, and seconds an epoch.

    python benchmarks/larger_than_memory.py [--gigabytes 1] [--columns 400] [--limit 4]
        [--only vectorized|keras_fit|keras] [--lake FOLDER]

Writes a folder of Parquet files whose table takes so many GB in memory (most cells are 0, so the
files are small), and trains one network on 80% of its rows for three epochs: by `hpsearch tune`
with `data.memory_gib: 0.001` and either trainer, and by `keras.Model.fit` on a `tf.data` pipeline
that reads the files once an epoch, shuffles 10,000 rows, and scales by a `Normalization` adapted in
a pass of its own.
`--limit` is a hard limit of the GB of each process's own memory (RLIMIT_DATA; mapped files do not
count). `--lake` keeps the files there for a later run. Prints one line of JSON each: the most
anonymous memory (RssAnon) of any one process and of all, sampled every 50 ms, CPU seconds of all,
imports and what follows the epochs included, seconds until the first epoch is reported, and the
mean of the next two.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

GB = 1000**3
FILES, FILLED, EPOCHS, BATCH, UNITS = 8, 0.1, 3, 512, 64
TICK = 0.05
WAYS = ("vectorized", "keras_fit", "keras")


def write_lake(folder: Path, rows: int, columns: int) -> None:
    """Write the files one after the other, each some columns at a time in memory."""
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir()
    rng, each = np.random.default_rng(0), rows // FILES
    for number in range(FILES):
        total, table = np.zeros(each), {}
        for column in range(columns):
            filled = rng.random(each) < FILLED
            values = np.where(filled, rng.integers(1, 9, each) / 4, 0.0)
            total += values * (column % 2 - 0.5)
            table[f"x{column}"] = values
        noise = rng.normal(size=each)
        table["y"] = np.where(total + noise > 0, "yes", "no")
        parquet.write_table(pa.table(table), folder / f"part-{number}.parquet")


def run_hpsearch(lake: Path, trainer: str) -> None:
    """Run one trial; print the time of each epoch."""
    from hpsearch.events import EpochFinished
    from hpsearch.study.tune import tune

    def tell(event: Any, *_: Any) -> None:
        if isinstance(event, EpochFinished):
            print(time.time(), flush=True)

    tune(
        {
            "study": "large",
            "task": "binary",
            "objective": {"metric": "accuracy"},
            "data": {
                "source": str(lake),
                "target": "y",
                "memory_gib": 0.001,
                "test_fraction": 0.0,
                "impute": "mean",
            },
            "cross_validation": {"kind": "holdout", "fraction": 0.2},
            "training": {"epochs": EPOCHS, "early_stopping": None, "trainer": trainer},
            "execution": {"workers": 1},
            "search_space": {
                "learning_rate": [0.001, 0.002],
                "units": UNITS,
                "layers": 1,
                "batch_size": BATCH,
            },
            "budget": {"trials": 1},
            "pruner": {"kind": "none"},
            "selection": {"finalists": 0},
        },
        offline=True,
        listeners=[tell],
    )


def run_keras(lake: Path) -> None:
    """Train with `fit` on `tf.data`; print the time of each epoch."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf
    from pyarrow import parquet

    paths = sorted(lake.iterdir())
    names = parquet.read_schema(paths[0]).names[:-1]

    def read_batches(is_training: bool) -> Any:
        for path in paths:
            for batch in parquet.ParquetFile(path).iter_batches(8192):
                x = np.column_stack([batch[name].to_numpy() for name in names]).astype(np.float32)
                y = (np.asarray(batch["y"].to_pylist()) == "yes").astype(np.float32)
                cut = len(y) * 4 // 5
                part = slice(0, cut) if is_training else slice(cut, None)
                yield x[part], y[part]

    def make_dataset(is_training: bool) -> Any:
        signature = (tf.TensorSpec([None, len(names)]), tf.TensorSpec([None]))
        rows = tf.data.Dataset.from_generator(
            lambda: read_batches(is_training), output_signature=signature
        ).unbatch()
        return (rows.shuffle(10_000) if is_training else rows).batch(BATCH).prefetch(2)

    scale = keras.layers.Normalization()
    scale.adapt(make_dataset(True).map(lambda x, y: x))
    model = keras.Sequential(
        [
            *(keras.Input((len(names),)), scale, keras.layers.Dense(UNITS, "relu")),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: print(time.time(), flush=True))
    model.fit(
        make_dataset(True),
        validation_data=make_dataset(False),
        epochs=EPOCHS,
        verbose=0,
        callbacks=[told],
    )


def anonymous_bytes(pid: int) -> int:
    """Return a process's memory that is no page of a file."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def measure(lake: Path, how: str, limit: float | None) -> dict[str, float | str]:
    """Run this file as a child, and watch its processes."""
    import psutil

    def limit_memory() -> None:
        if limit is not None:  # workers inherit it
            resource.setrlimit(resource.RLIMIT_DATA, (int(limit * GB), int(limit * GB)))

    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "printed").open("w+") as printed:
        began, command = time.time(), [sys.executable, __file__, "--child", how, str(lake)]
        child = subprocess.Popen(command, cwd=folder, stdout=printed, preexec_fn=limit_memory)
        one = every = 0
        used: dict[int, float] = {}  # CPU seconds by process
        while child.poll() is None:
            with suppress(psutil.Error):
                parent = psutil.Process(child.pid)
                tree = [parent, *parent.children(True)]
                sizes = [anonymous_bytes(p.pid) for p in tree]
                used |= {p.pid: sum(p.cpu_times()[:2]) for p in tree}
                one, every = max(one, *sizes), max(every, sum(sizes))
            time.sleep(TICK)
        printed.seek(0)
        ends = [float(line) for line in printed if line.replace(".", "").strip().isdigit()]
    assert not child.returncode, f"{how} failed"
    assert len(ends) == EPOCHS
    return {
        "how": how,
        "largest_process_gb": round(one / GB, 2),
        "all_processes_gb": round(every / GB, 2),
        "cpu_s": round(sum(used.values()), 1),
        "first_epoch_s": round(ends[0] - began, 1),
        "epoch_s": round((ends[-1] - ends[0]) / (EPOCHS - 1), 1),
    }


def main() -> None:
    """Write the folder, run each way, and delete the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--columns", type=int, default=400)
    parser.add_argument("--limit", type=float)
    parser.add_argument("--only", choices=WAYS)
    parser.add_argument("--lake", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        how, lake = given.child[0], Path(given.child[1])
        run_keras(lake) if how == "keras" else run_hpsearch(lake, how)
        return
    rows = int(given.gigabytes * GB / 8 / given.columns) // FILES * FILES
    with tempfile.TemporaryDirectory() as folder:
        lake = given.lake.absolute() if given.lake else Path(folder) / "lake"
        if not lake.exists():
            write_lake(lake, rows, given.columns)
        size = sum(path.stat().st_size for path in lake.iterdir())
        table = {"table_gb": rows * given.columns * 8 / GB, "files_gb": round(size / GB, 3)}
        print(json.dumps({"rows": rows, "columns": given.columns, **table}), flush=True)
        for how in WAYS:
            if given.only in (None, how):
                print(json.dumps(measure(lake, how, given.limit)), flush=True)


if __name__ == "__main__":
    main()
