"""What a table costs before the first epoch ends: seconds, and memory beside its own size.

    python benchmarks/reading.py [--rows 250000] [--columns 8] [--only memory]

Writes a CSV (fractions, 4 columns of whole numbers, 5 of text, a class) and prints one line
of JSON: its bytes in the file and as an Arrow table, the most memory that reading it and preparing
the folds took beyond what the process held before, that as a multiple of the Arrow table, and the
seconds from the start of `hpsearch tune` to the report of its first epoch, imports included.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

SPEC = {
    "study": "reading",
    "data": {"source": "table.csv", "target": "y"},
    "training": {"epochs": 1},
    "search_space": {"units": [32, 64], "batch_size": 1024},
    "budget": {"trials": 1},
    "pruner": {"kind": "none"},
    "selection": {"finalists": 0},
}


def make_table(path: Path, rows: int, fractions: int) -> None:
    """Numbers and texts, and a class that some of them tell."""
    import pandas as pd

    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        f"fraction{i}": rng.normal(size=rows).round(4) for i in range(fractions)
    }
    columns |= {f"whole{i}": rng.integers(0, 1000, rows) for i in range(4)}
    for i, n in enumerate((2, 3, 5, 8, 12)):
        columns[f"text{i}"] = np.array([f"value {j}" for j in range(n)])[rng.integers(0, n, rows)]
    columns["y"] = np.where(columns["fraction0"] + rng.normal(size=rows) > 0, "yes", "no")
    pd.DataFrame(columns).to_csv(path, index=False)


class Peak:
    """The most memory that this process holds while it is watched, in bytes."""

    def __init__(self) -> None:
        self.before = self.most = resident()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look)

    def __enter__(self) -> "Peak":
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(0.001):
            self.most = max(self.most, resident())


def resident() -> int:
    """Memory that this process holds, in bytes; the code of libraries is not what reading holds."""
    pages = Path("/proc/self/statm").read_text(encoding="utf-8").split()
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")


def memory(folder: Path) -> dict[str, float]:
    """Bytes of the file, of its Arrow table, and beyond what was held before; in this process."""
    import pandas  # noqa: F401  # what reading imports is not what it holds
    import pyarrow.csv  # noqa: F401
    import sklearn.model_selection  # noqa: F401

    from hpsearch.data.sources import read_source
    from hpsearch.study.prepare import build_problem, load_data, resolve_study
    from hpsearch.study.tune import read_spec

    path = folder / "table.csv"
    study = read_spec({**SPEC, "data": {**SPEC["data"], "source": str(path)}})  # type: ignore[dict-item]
    began = time.monotonic()
    with Peak() as peak:
        dataset = load_data(study)
        problem = build_problem(resolve_study(study, dataset), dataset)
    seconds = time.monotonic() - began
    table = read_source(study.spec.data, folder).table.nbytes
    return {
        "rows": dataset.n_rows,
        "seconds": seconds,
        "file_mb": path.stat().st_size / 1e6,
        "arrow_mb": table / 1e6,
        "features_mb": problem.features.nbytes / 1e6,
        "peak_mb": (peak.most - peak.before) / 1e6,
        "peak_over_arrow": (peak.most - peak.before) / table,
    }


def first_epoch(folder: Path) -> float:
    """Seconds from the start of the command to the journal's first report."""
    (folder / "study.yaml").write_text(json.dumps(SPEC))
    environment = {**os.environ, "HPSEARCH_CACHE": ""}  # nothing is compiled beforehand
    tune = "from hpsearch.cli import main; main()"
    command = [sys.executable, "-c", tune, "tune", "study.yaml", "--offline"]
    journal = folder / "mlruns/studies/reading/journal.jsonl"
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        if journal.exists() and b'"event":"epoch"' in journal.read_bytes().replace(b" ", b""):
            seconds = time.monotonic() - began
            process.wait()
            return seconds
        time.sleep(0.01)
    raise SystemExit(f"the study ended with {process.returncode} and without an epoch")


def main() -> None:
    """Measure in processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=250_000)
    parser.add_argument("--columns", type=int, default=8, help="of fractions")
    parser.add_argument("--only", choices=["memory"], help="measure no seconds")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child is not None:
        print(json.dumps(memory(asked.child)))
        return
    with tempfile.TemporaryDirectory() as name:
        make_table(Path(name) / "table.csv", asked.rows, asked.columns)
        command = [sys.executable, __file__, "--child", name]
        told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        if asked.only is None:
            told["first_epoch_seconds"] = first_epoch(Path(name))
    print(json.dumps({k: round(v, 2) for k, v in told.items()}))


if __name__ == "__main__":
    main()
