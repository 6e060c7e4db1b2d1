"""A study of many cheap trials under every kind of fault at random: what is lost, what is twice?

    python benchmarks/soak.py [TRIALS] [--seed SEED]

The command line is run in a folder of its own. After a random number of results one of the faults
below happens, in random order, each kind before any comes again: the coordinator or a worker is
killed (SIGKILL), the coordinator is asked to stop (SIGTERM), a trial's run, the study's run or the
experiment is deleted through MLflow's client, the store is away or answers garbage, an older backup
of its database is restored. What the product asks a person to do (restore the experiment, bring the
store back) is done some results later; then the same command is run again until the study is done.
At the end `sync --verify` is run twice and MLflow's tables are compared with the journal.

Memory is that of the worker, looked at after each result; its growth is the slope within one life.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
import psutil

from hpsearch.events import EpochFinished, TrialFinished
from hpsearch.journal import read_page
from hpsearch.tracking.database import database_state
from hpsearch.tracking.store import default_uri, journal_path, open_store

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
HPSEARCH = [sys.executable, "-c", "from hpsearch.cli import main; main()"]
WORKER = "hpsearch.execution.worker"
BETWEEN = (5, 30)  # results from one fault to the next
AWAY = (3, 10)  # results for which the store or the experiment is away


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


class Store:
    """MLflow's store of the study, and what people and machines do to it."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.database = root / "mlruns" / "mlflow.db"
        self.uri = default_uri(root)
        self.rng = rng
        self.backup = root / "backup.db"
        self.aside = root / "aside.db"
        self.deleted: set[str] = set()  # names of trials' runs that were deleted
        self.recover: Callable[[], None] | None = None  # what ends the present outage

    def has_study(self) -> bool:
        """Whether there is something yet that could be deleted."""
        if database_state(self.database) != "whole":
            return False
        with closing(sqlite3.connect(self.database, timeout=30)) as database:
            query = "select 1 from experiments where name = 'soak'"
            return database.execute(query).fetchone() is not None

    def delete_trial(self) -> None:
        """As in the UI: one trial's run."""
        client, experiment = self._client()
        kind = "tags.`hpsearch.kind` = 'trial' and attributes.status = 'FINISHED'"
        if runs := client.search_runs([experiment], kind):
            run = self.rng.choice(sorted(runs, key=lambda run: run.info.run_name))
            client.delete_run(run.info.run_id)
            self.deleted.add(run.info.run_name)

    def delete_study_run(self) -> None:
        """As in the UI: the run above all others."""
        client, experiment = self._client()
        for run in client.search_runs([experiment], "tags.`hpsearch.kind` = 'study'"):
            client.delete_run(run.info.run_id)

    def delete_experiment(self) -> None:
        """As in the UI; restored by `recover`, as the message says."""
        client, experiment = self._client()
        client.delete_experiment(experiment)
        self.recover = lambda: self._client()[0].restore_experiment(experiment)

    def answer_garbage(self) -> None:
        """The database's file is another one for a while."""
        with self._held():
            os.replace(self.database, self.aside)
            self.database.write_bytes(b"no database at all" * 1000)
        self.recover = lambda: os.replace(self.aside, self.database)

    def lock(self) -> None:
        """Another program holds the database for a while."""
        held = ExitStack()
        held.enter_context(self._held())
        self.recover = held.close

    def make_backup(self) -> None:
        """Copy the database, as a nightly job does."""
        with (
            closing(sqlite3.connect(self.database)) as source,
            closing(sqlite3.connect(self.backup)) as copy,
        ):
            source.backup(copy)

    def restore_backup(self) -> None:
        """Put the last backup back, over whatever there is."""
        if self.backup.exists():
            draft = self.backup.with_suffix(".draft")
            shutil.copy(self.backup, draft)
            with self._held():  # else a transaction's journal would be taken for the new file's
                os.replace(draft, self.database)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Nobody else reads or writes the database meanwhile."""
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=60)) as held:
            held.execute("begin exclusive")
            yield

    def end_outage(self) -> None:
        """Do what a message asks for."""
        if self.recover is not None:
            self.recover()
            self.recover = None

    def _client(self):
        client = open_store(self.uri)
        return client, client.get_experiment_by_name("soak").experiment_id


class Soak:
    """One study, the faults that befall it and what was seen of it."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self.root, self.rng, self.store = root, rng, Store(root, rng)
        self.memory, self.faults, self.workers = Memory(), Counter(), set()
        self.refusals: list[str] = []  # what the command said where it did not go on at once
        self.order: list[str] = []  # kinds that are still to come in this round
        self.kinds: dict[str, Callable[[int], None]] = {
            "coordinator killed": lambda pid: os.kill(pid, signal.SIGKILL),
            "coordinator asked to stop": lambda pid: os.kill(pid, signal.SIGTERM),
            "worker killed": lambda pid: [worker.kill() for worker in workers(pid)],
            "trial's run deleted": lambda pid: self.store.delete_trial(),
            "study's run deleted": lambda pid: self.store.delete_study_run(),
            "experiment deleted": lambda pid: self.store.delete_experiment(),
            "garbage in the database's place": lambda pid: self.store.answer_garbage(),
            "database locked": lambda pid: self.store.lock(),
            "older backup restored": lambda pid: self.store.restore_backup(),
        }

    def run(self) -> bool:
        """Run the command until it ends or is killed; whether it ended by itself, and well."""
        command = [*HPSEARCH, "tune", "soak.yaml"]
        child = subprocess.Popen(
            command, cwd=self.root, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        left, last = self.rng.randint(*BETWEEN), ""
        with child:
            for line in child.stderr:
                last = line
                if not line.startswith("trial "):
                    continue
                left -= 1
                try:
                    self.memory.look(child.pid)
                    self.workers.update(worker.pid for worker in workers(child.pid))
                    if left <= 0:
                        left = self._do_something(child.pid)
                except psutil.NoSuchProcess:
                    continue
        if child.returncode > 0 and child.returncode != 143:
            self.refusals.append(last.strip())
        self.store.end_outage()
        return child.returncode == 0

    def _do_something(self, pid: int) -> int:
        """End an outage, or let the next fault happen; after how many results to come again."""
        if self.store.recover is not None:
            self.store.end_outage()
            return self.rng.randint(*BETWEEN)
        if not self.store.has_study():  # MLflow is still being imported, or the store made
            return 1
        if not self.order:
            self.order = self.rng.sample(sorted(self.kinds), len(self.kinds))
            self.store.make_backup()
        fault = self.order.pop()
        self.faults[fault] += 1
        self.kinds[fault](pid)
        return self.rng.randint(*(BETWEEN if self.store.recover is None else AWAY))

    def verify(self) -> list[str]:
        """What `sync --verify` says."""
        done = subprocess.run(
            [*HPSEARCH, "sync", "soak", "--verify"], cwd=self.root, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"sync --verify: exit code {done.returncode}\n{done.stderr}")
        return done.stdout.splitlines()


def compare(root: Path, deleted: set[str]) -> dict[str, object]:
    """The journal and MLflow's tables, read without the product's comparison."""
    events = read_page(journal_path(root, "soak")).events
    results = [e for e in events if isinstance(e, TrialFinished)]
    names = Counter(f"trial-{r.trial:03d}" for r in results)
    steps = Counter((e.trial, e.attempt) for e in events if isinstance(e, EpochFinished))
    with closing(sqlite3.connect(root / "mlruns" / "mlflow.db")) as store:
        query = "select run_uuid, name, status from runs where lifecycle_stage = 'active'"
        runs = store.execute(query).fetchall()
        twice = store.execute(
            "select count(*) from (select 1 from metrics where key not like 'system/%' "
            "group by run_uuid, key, step having count(*) > 1)"
        ).fetchone()[0]
        held = dict(
            store.execute(
                "select r.name, count(*) from metrics m join runs r using (run_uuid) "
                "where key = 'val/loss' and lifecycle_stage = 'active' group by r.run_uuid"
            ).fetchall()
        )
    ended = {_name(r): r for r in results}
    stored = Counter(name for _, name, _ in runs)
    lost = [name for name in ended if not stored[name] and name not in deleted]
    wrong = [
        name
        for name, r in ended.items()
        if stored[name] and held.get(name, 0) != steps[r.trial, r.attempt]
    ]
    return {
        "results lost": int(max(r.trial for r in results) + 1 - len(names)),
        "results doubled": sum(n - 1 for n in names.values()),
        "states": dict(Counter(r.state for r in results)),
        "errors": sorted({r.error for r in results if r.error}),
        "runs lost": len(lost),
        "runs doubled": sum(n - 1 for n in stored.values()),
        "points doubled": twice,
        "runs with other curves": len(wrong),
        "left RUNNING": sum(status == "RUNNING" for *_, status in runs),
    }


def _name(result: TrialFinished) -> str:
    retry = f"-retry-{result.attempt}" if result.attempt else ""
    return f"trial-{result.trial:03d}{retry}"


def main() -> None:
    """Print the figures as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", type=int, nargs="?", default=500)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "soak.yaml").write_text(SPEC.replace("TRIALS", str(given.trials)))
        soak = Soak(root, random.Random(given.seed))
        runs = 1
        while not soak.run():
            runs += 1
        first, second = soak.verify(), soak.verify()
        figures = {
            "seed": given.seed,
            "trials": given.trials,
            "runs of the command": runs,
            "faults": dict(soak.faults),
            "where the command did not go on at once": soak.refusals,
            "found by the first sync --verify": len(first) - 1,
            "found by the second": [line for line in second if not line.startswith("not in")][:-1],
            "runs deleted and left so": sum("was deleted" in line for line in second),
            **compare(root, soak.store.deleted),
            "orphans": sum(psutil.pid_exists(pid) for pid in soak.workers),
            "MB of memory per trial": round(soak.memory.growth(), 3),
            "seconds": round(time.monotonic() - began),
        }
        if kept := os.environ.get("SOAK_KEEP"):
            shutil.copytree(root, kept)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
