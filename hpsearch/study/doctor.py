"""How the machine and the studies below a folder are: a list of findings. It changes nothing.

Frameworks are asked in processes of their own, since a process has one Keras backend.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from ..errors import HpsearchError, JournalError, redacted
from ..history import History, load
from ..journal import owner
from ..tracking.store import default_uri, is_server, open_store, study_folder

State = Literal["ok", "note", "bad"]
PACKAGES = ("hpsearch", "keras", "jax", "tensorflow", "optuna", "mlflow", "numpy", "scikit-learn")
ANSWER_SECONDS = 120  # for a framework to be imported and name its devices
LITTLE_DISK = 2e9  # bytes
STALE_DAYS = 1.0  # without a word in an unfinished study that nobody runs

PROBES = {
    "jax": "import jax; print(*(f'{d.platform}:{d.device_kind}' for d in jax.devices()), sep=', ')",
    "tensorflow": (
        "import tensorflow as tf; "
        "print(*(f'{d.device_type}' for d in tf.config.list_physical_devices()), sep=', ')"
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State  # ok; note: to be known; bad: to be mended
    says: str


def examine(root: Path, uri: str | None = None) -> Iterator[Finding]:
    """Look at versions, backends, disk, store and studies below `root`, one after the other.

    Args:
        root: The folder that holds `mlruns/`.
        uri: A tracking URI; the file below `root` where it is None.
    """
    with ThreadPoolExecutor() as pool:
        probes = {name: pool.submit(_probe, code) for name, code in PROBES.items()}
        yield _versions()
        yield _disk(root)
        yield _store(root, uri)
        yield from _studies(root)
        for name, probe in probes.items():
            state, says = probe.result()
            yield Finding(f"backend {name}", state, says)


def _versions() -> Finding:
    found, absent = [f"python {sys.version.split()[0]}"], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            absent.append(name)
    text = ", ".join(found)
    return Finding(
        "versions", "bad" if absent else "ok", text + "".join(f"; no {n}" for n in absent)
    )


def _probe(code: str) -> tuple[State, str]:
    """The devices that a framework sees, in a process of its own."""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=quiet,
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "bad", f"no answer in {ANSWER_SECONDS} s"
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return "bad", lines[-1] if lines else f"ended with exit code {done.returncode}"
    return "ok", done.stdout.strip().splitlines()[-1]


def _disk(root: Path) -> Finding:
    usage = shutil.disk_usage(root)
    text = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB at {root}"
    if not os.access(root, os.W_OK):
        return Finding("disk", "bad", f"{root} cannot be written to")
    return Finding("disk", "ok" if usage.free > LITTLE_DISK else "bad", text)


def _store(root: Path, uri: str | None) -> Finding:
    uri = uri or default_uri(root)
    path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
    if uri.startswith("sqlite:///"):
        return _database(path)
    try:
        open_store(uri)
    except HpsearchError as error:
        return Finding("store", "bad", str(error))
    kind = "server" if is_server(uri) else "database"
    return Finding("store", "ok", f"{redacted(uri)}: the {kind} answers")


def _database(path: Path) -> Finding:
    """An SQLite store, opened to be read alone."""
    if not path.exists():
        return Finding("store", "note", f"{path}: not there yet; the first study makes it")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            [[answer]] = database.execute("pragma quick_check(1)").fetchall()
            [[runs]] = database.execute("select count(*) from runs").fetchall()
    except sqlite3.Error as error:
        return Finding("store", "bad", f"{path}: {error}")
    size = path.stat().st_size / 1e6
    text = f"{path}: {runs:,} runs, {size:.1f} MB"
    return (
        Finding("store", "ok", text)
        if answer == "ok"
        else Finding("store", "bad", f"{path}: {answer}")
    )


def _studies(root: Path) -> Iterator[Finding]:
    for path in sorted(study_folder(root, "_").parent.glob("*/journal.jsonl")):
        name = f"study {path.parent.name}"
        try:
            history = load(path, without=("epoch",))
        except JournalError as error:
            yield Finding(name, "bad", str(error))
            continue
        yield Finding(name, *_study(path, history))


def _study(path: Path, history: History) -> tuple[State, str]:
    failed = history.count("FAILED")
    parts = [f"{len(history.ended)} trials" + (f", {failed} failed" if failed else "")]
    state: State = "ok"
    runner = owner(path)
    if runner:
        parts.append(f"is being run by {runner}")
    elif history.final is None:
        days = (time.time() - history.last_time / 1000) / 86400
        stale = f", for {days:.0f} days" if days >= STALE_DAYS else ""
        parts.append(f"not finished and nobody runs it{stale}: hpsearch tune goes on")
        state = "note"
    if not runner and (pending := _pending(path)):
        parts.append(f"{pending}: hpsearch sync {path.parent.name}")
        state = "note"
    return state, "; ".join(parts)


def _pending(path: Path) -> str:
    """What a store has not acknowledged, for people; empty where there is nothing."""
    cursors = [json.loads(p.read_text()) for p in path.parent.glob("uploaded-*.json")]
    if not cursors:
        return "nothing of it is in MLflow"
    size = path.stat().st_size
    behind = [(size - int(c["offset"]), c["store"]) for c in cursors if int(c["offset"]) < size]
    if len(behind) < len(cursors):
        return ""  # one store has everything
    missing, store = min(behind)
    return f"{missing:,} bytes of it are not in {store} yet"
