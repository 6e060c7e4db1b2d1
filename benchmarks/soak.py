"""A study of many cheap trials whose processes are killed at random: what is lost, what is twice?

    python benchmarks/soak.py [TRIALS] [SEED]

The command line is run in a folder of its own. After a random number of results the coordinator
or a worker is killed (SIGKILL), or the coordinator is asked to stop (SIGTERM); then the same
command is run again until the study is done. Memory is that of the worker, looked at after each
result; its growth is the slope within one life of a worker.
"""

import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil

from hpsearch.journal import read
from hpsearch.tracking.store import journal_path

SPEC = """\
study: soak
seed: 1
data: {source: "sklearn:wine"}
cross_validation: {folds: 3}
training: {epochs: 2, early_stopping: null}
search_space:
  learning_rate: {type: float, low: 1e-3, high: 1e-1, log: true}
  units: [8, 16]
  batch_size: 32
sampler: {kind: random}
budget: {trials: TRIALS}
"""
COMMAND = [sys.executable, "-c", "from hpsearch.cli import main; main()", "tune", "soak.yaml"]
WORKER = "hpsearch.execution.worker"


class Memory:
    """Resident megabytes of each worker, by the number of results since it began."""

    def __init__(self) -> None:
        self.lives: dict[int, list[float]] = {}

    def look(self, coordinator: int) -> None:
        """Once after a result."""
        for worker in workers(coordinator):
            self.lives.setdefault(worker.pid, []).append(worker.memory_info().rss / 1e6)

    def growth(self) -> float:
        """Megabytes a trial: the mean slope of the lives, weighted by their trials."""
        long = [life[10:] for life in self.lives.values() if len(life) >= 20]  # after warming up
        slopes = [np.polyfit(np.arange(len(life)), life, 1)[0] for life in long]
        return float(np.average(slopes, weights=[len(life) for life in long]))


def workers(coordinator: int) -> list[psutil.Process]:
    """The coordinator's workers."""
    children = psutil.Process(coordinator).children()
    return [p for p in children if any(WORKER in part for part in p.cmdline())]


def run(root: Path, rng: random.Random, memory: Memory, kills: Counter, seen: set[int]) -> bool:
    """Run the command until it ends or is killed; whether it ended by itself."""
    child = subprocess.Popen(
        COMMAND, cwd=root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    left = rng.randint(10, 70)  # results until the next fault
    with child:
        for line in child.stderr:
            if not line.startswith("trial "):
                continue
            left -= 1
            try:
                memory.look(child.pid)
                seen.update(worker.pid for worker in workers(child.pid))
            except psutil.NoSuchProcess:
                continue
            if left:
                continue
            fault = rng.choice(("coordinator", "worker", "SIGTERM"))
            kills[fault] += 1
            if fault == "coordinator":
                child.kill()
            elif fault == "SIGTERM":
                child.send_signal(signal.SIGTERM)
            else:
                for worker in workers(child.pid):
                    worker.kill()
                left = rng.randint(10, 70)
    return child.returncode == 0


def statuses(root: Path) -> dict[str, str]:
    """The status of each run, by its name."""
    with sqlite3.connect(root / "mlruns" / "mlflow.db") as store:
        return dict(store.execute("select name, status from runs").fetchall())


def main() -> None:
    """Print the figures as one JSON object."""
    trials, seed = int(sys.argv[1]) if sys.argv[1:] else 500, int((sys.argv[2:] or ["0"])[0])
    rng, memory, kills, seen = random.Random(seed), Memory(), Counter(), set()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "soak.yaml").write_text(SPEC.replace("TRIALS", str(trials)))
        runs = 1
        while not run(root, rng, memory, kills, seen):
            runs += 1
        sent_at_once = statuses(root)["soak"] == "FINISHED"
        subprocess.run([*COMMAND[:3], "sync", "soak"], cwd=root, check=True)
        records = read(journal_path(root, "soak")).records
        results = Counter(r["trial"] for r in records if r["event"] == "result")
        states = Counter(r["state"] for r in records if r["event"] == "result")
        errors = sorted({r["error"] for r in records if r.get("error")})
        with sqlite3.connect(root / "mlruns" / "mlflow.db") as store:
            query = "select name, status from runs where lifecycle_stage = 'active'"
            stored = store.execute(query).fetchall()
    finished = Counter(n.partition("-retry")[0] for n, s in stored if s in ("FINISHED", "FAILED"))
    finished.pop("soak", None)
    figures = {
        "all in MLflow when the last run ended": sent_at_once,
        "trials": trials,
        "runs of the command": runs,
        "faults": dict(kills),
        "states": dict(states),
        "errors": errors,
        "lost": trials - len(results),
        "doubled": sum(n - 1 for n in results.values()),
        "lost in MLflow": trials - len(finished),
        "doubled in MLflow": sum(n - 1 for n in finished.values()),
        "left RUNNING": sum(status == "RUNNING" for _, status in stored),
        "orphans": sum(psutil.pid_exists(pid) for pid in seen),
        "MB of memory per trial": round(memory.growth(), 3),
        "longest life of a worker, trials": max(map(len, memory.lives.values())),
        "seconds": round(time.monotonic() - began),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
