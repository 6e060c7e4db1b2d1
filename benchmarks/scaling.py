"""What workers are worth: the same study with one and two workers, and with two on Ray.

    python benchmarks/scaling.py [--trials 24] [--rows 4000] [--epochs 20] [--only 1,2,ray]

Each contestant is a `hpsearch tune` of its own process in a temporary folder, on one made table,
with points drawn at random by the trial's number and no pruner, so that all train the same trials
with one thread each. Prints one line of JSON for each: wall clock of the command and of its search
(from the first report to the last result), trials a second of that, the best trial and its score,
and the efficiency, which is the speed-up over one worker divided by the workers. Exits with 1 when
the best trials differ.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from hpsearch.history import load_history

SPEC = """\
study: scaling
data: {{source: table.csv, target: y, test_fraction: 0.1}}
training: {{epochs: {epochs}, early_stopping: null, trainer: vectorized}}
search_space:
  units: 128
  layers: 2
  batch_size: 64
  learning_rate: {{type: float, low: 1e-4, high: 1e-1, log: true}}
  dropout: {{type: float, low: 0.0, high: 0.5}}
sampler: {{kind: random}}
pruner: {{kind: none}}
selection: {{finalists: 0}}
budget: {{trials: {trials}}}
"""
WAYS = {
    "1": ["--workers", "1", "--cpus", "1"],
    "2": ["--workers", "2", "--cpus", "1"],
    "ray": ["--executor", "ray", "--workers", "2", "--cpus", "1"],
}


def make_table(path: Path, rows: int) -> None:
    """Twenty columns, and a class that a few of them tell."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 20))
    y = (np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + 0.5 * rng.normal(size=rows) > 0).astype(int)
    header = ",".join([*(f"x{i}" for i in range(20)), "y"])
    np.savetxt(path, np.column_stack([x, y]), "%.6g", ",", header=header, comments="")


def run(way: str, *, rows: int, trials: int, epochs: int) -> dict[str, Any]:
    """One contestant, in a folder and a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        make_table(Path(folder) / "table.csv", rows)
        spec = Path(folder) / "scaling.yaml"
        spec.write_text(SPEC.format(trials=trials, epochs=epochs), encoding="utf-8")
        code = "from hpsearch.cli import main; main()"
        command = [sys.executable, "-c", code, "tune", spec.name, "--quiet", *WAYS[way]]
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True)
        wall = time.perf_counter() - began
        history = load_history(Path(folder) / "mlruns" / "studies" / "scaling" / "journal.jsonl")
    best = history.best
    assert best is not None
    first = min(t.started for t in history.trials if t.started is not None)
    search = (max(t.ended or 0 for t in history.trials) - first) / 1000
    return {
        "way": way,
        "wall_seconds": round(wall, 1),
        "search_seconds": round(search, 2),
        "trials_per_second": round(trials / search, 2),
        "best": best.number,
        "fold_scores": list(best.fold_scores or ()),
    }


def main() -> None:
    """Run the contestants after one another and compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("trials", 24), ("rows", 4000), ("epochs", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", default="1,2,ray")
    given = parser.parse_args()
    answers: list[dict[str, Any]] = []
    for way in given.only.split(","):
        answer = run(way, rows=given.rows, trials=given.trials, epochs=given.epochs)
        answers.append(answer)
        faster = answers[0]["search_seconds"] / answer["search_seconds"]
        workers = 1 if way == "1" else 2
        shown = {k: v for k, v in answer.items() if k != "fold_scores"}
        is_same = all(answer[k] == answers[0][k] for k in ("best", "fold_scores"))
        shown |= {"efficiency": round(faster / workers, 2), "same_best": is_same}
        print(json.dumps(shown), flush=True)
    if len({(a["best"], tuple(a["fold_scores"])) for a in answers}) > 1:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
