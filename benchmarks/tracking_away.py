"""What a tracking server that is away or slow costs a study, and what a long one leaves in memory.

    python benchmarks/tracking_away.py [TRIALS] [ROUNDS]

The same cheap study, one worker, with a SQLite store, and with a server behind a proxy that is
dead or slow from the first trial on. Told is the median time from one result to the next, after
ten trials; and the growth of the worker in the study with the SQLite store.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(1, str(Path(__file__).parents[1] / "tests"))


import hpsearch
from hpsearch.errors import TrackingError
from hpsearch.journal import read_page
from hpsearch.tracking.store import default_uri, journal_path, open_store
from tests.tracking.test_server import Proxy

WARM = 10  # trials
SLOW = 1.0  # seconds that every answer takes
SPEC = {
    "study": "away",
    "seed": 1,
    "data": {"source": "sklearn:wine"},
    "cross_validation": {"folds": 3},
    "training": {"epochs": 40, "early_stopping": None},
    "search_space": {
        "learning_rate": {"type": "float", "low": 1e-3, "high": 1e-1, "log": True},
        "units": 8,
        "batch_size": 32,
    },
    "sampler": {"kind": "random"},
    "pruner": {"kind": "none"},
    "selection": {"finalists": 1},
}


class EnoughError(Exception):
    """The trials have ended; the end of the study is not looked at."""


class Late:
    """What `Proxy.flowing` is where every piece of an answer comes late."""

    def wait(self) -> None:
        """Hold the answer back."""
        time.sleep(SLOW)


@contextmanager
def server(root: Path) -> Iterator[int]:
    """The port of an MLflow server."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", default_uri(root), "--artifacts-destination", str(root)]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    open_store(default_uri(root))
    with (root / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **quiet})
    try:
        while True:
            try:
                open_store(f"http://127.0.0.1:{port}")
                break
            except TrackingError:
                time.sleep(0.5)
        yield port
    finally:
        process.terminate()
        process.wait()


def dead(proxy: Proxy) -> None:
    """Cut every connection."""
    proxy.cut_every = 1


def slow(proxy: Proxy) -> None:
    """Let every answer come late."""
    proxy.flowing = Late()


def study(
    root: Path, uri: str, trials: int, begin: Callable[[], None] = lambda: None
) -> tuple[float, list[float]]:
    """Median seconds from result to result, and the worker's megabytes at each."""
    megabytes, ended = [], 0

    def listen(event):
        nonlocal ended
        if event.kind == "asked" and event.trial == 0:
            begin()
        if event.kind == "result":
            ended += 1
            worker = max(psutil.Process().children(), key=lambda p: p.memory_info().rss)
            megabytes.append(worker.memory_info().rss / 1e6)
            if ended == trials:
                raise EnoughError

    with suppress(EnoughError):
        hpsearch.tune(
            {**SPEC, "budget": {"trials": trials}},
            tracking_uri=uri,
            workers=1,
            root=root,
            listeners=[listen],
        )
    events = read_page(journal_path(root, "away")).events
    times = [e.time for e in events if e.kind == "result"]
    return statistics.median(np.diff(times[WARM:])) / 1000, megabytes


def main() -> None:
    """Print the figures as one JSON object."""
    trials = int((sys.argv[1:] or ["200"])[0])
    rounds = int((sys.argv[2:] or ["2"])[0])
    seconds = {"SQLite": [], "server": [], "dead server": [], "slow server": []}
    growth = []
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as port:
        for number in range(rounds):
            for kind in seconds:
                root = Path(folder) / f"{kind}-{number}"
                root.mkdir()
                if kind == "SQLite":
                    median, megabytes = study(root, default_uri(root), trials)
                    slope = np.polyfit(np.arange(len(megabytes) - WARM), megabytes[WARM:], 1)[0]
                    growth.append(round(float(slope), 3))
                else:
                    proxy = Proxy(port)
                    begin = {"dead server": dead, "slow server": slow}.get(kind, lambda _: None)
                    uri = f"http://127.0.0.1:{proxy.port}"
                    median, _ = study(root, uri, trials, partial(begin, proxy))
                    proxy.close()
                seconds[kind].append(round(median, 4))
    figures = {
        "trials": trials,
        "median seconds a trial": seconds,
        "slower than with SQLite": {
            kind: f"{min(held) / min(seconds['SQLite']) - 1:+.1%}" for kind, held in seconds.items()
        },
        "MB of memory per trial": growth,
        "load": os.getloadavg()[0],
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
