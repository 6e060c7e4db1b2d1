"""Check the machine and the studies below a folder; returns findings, changes nothing.

Frameworks are probed in separate processes, since a process has one Keras backend.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ...compat.tensorflow import LIST_DEVICES
from ...errors import HpsearchError, JournalError, TrackingError, describe_os_error, redact_text
from ...events import CURVES
from ...execution.executor import EXECUTORS
from ...history import History, load_history
from ...journal import find_owner
from ...models import FAMILIES
from ...platforms.machine import describe_system, explain_missing_gpu
from ...plugins import find_clashes, installed_names
from ...search.pruners import PRUNERS
from ...search.samplers import SAMPLERS
from ...tracking.cursor import read_upload_states
from ...tracking.database import (
    check_database,
    database_path,
    database_state,
    make_database,
    move_database_aside,
    open_for_reading,
)
from ...tracking.store import check_uri, default_uri, list_journals, open_store, uri_option
from ...training.metrics import METRICS
from .study_folder import find_wrong_files, find_wrong_folders

State = Literal["ok", "note", "bad"]
PACKAGES = ("hpsearch", "keras", "jax", "tensorflow", "optuna", "mlflow", "numpy", "scikit-learn")
CPU_ALONE = "cpu:cpu"  # output of JAX's probe without an accelerator
ANSWER_SECONDS = 120  # seconds to import a framework and list its devices
MIN_FREE_DISK = 2e9  # bytes of free disk space
NO_TENSORFLOW = (
    "not installed: `trainer: keras_fit` runs on JAX, and SavedModel and ONNX are not written "
    "(pip install 'hpsearch[tensorflow]')"
)
STALE_DAYS = 1.0  # age of the last event of an unfinished study that is not running

PROBES = {
    "jax": "import jax; print(*(f'{d.platform}:{d.device_kind}' for d in jax.devices()), sep=', ')",
    "tensorflow": LIST_DEVICES,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    subject: str
    state: State  # ok; note: information; bad: needs to be fixed
    message: str


def diagnose(root: Path, uri: str | None = None) -> Iterator[Finding]:
    """Check versions, backends, disk, store and studies below `root` in turn.

    Args:
        root: The folder that contains `mlruns/`.
        uri: A tracking URI; None: the file below `root`.
    """
    with ThreadPoolExecutor() as pool:
        installed = {n: code for n, code in PROBES.items() if find_spec(n) is not None}
        probes = {name: pool.submit(_probe_framework, code) for name, code in installed.items()}
        yield _check_versions()
        yield from _plugins()
        yield _check_disk(root)
        yield _diagnose_store(root, uri)
        yield from (
            Finding("mlruns", "bad", wrong) for wrong in find_wrong_folders(root / "mlruns")
        )
        yield from _check_studies(root)
        for name, probe in probes.items():
            state, says = probe.result()
            if name == "jax" and state == "ok" and says == CPU_ALONE:
                says += f" ({explain_missing_gpu()})"
            yield Finding(f"backend {name}", state, says)
        if "tensorflow" in PROBES and "tensorflow" not in installed:
            yield Finding("backend tensorflow", "note", NO_TENSORFLOW)


def _check_versions() -> Finding:
    found, absent = [describe_system(), f"python {sys.version.split()[0]}"], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            absent.append(name)
    text = ", ".join(found) + "".join(f"; no {name}" for name in absent)
    state: State = "bad" if {*absent} - {"tensorflow"} else "note" if absent else "ok"
    return Finding("versions", state, text)


def _plugins() -> Iterator[Finding]:
    """List plugins, and plugin names that are shadowed."""
    built_in: dict[str, Iterable[str]] = {
        "samplers": SAMPLERS,
        "pruners": PRUNERS,
        "families": FAMILIES,
        "metrics": METRICS,
        "executors": EXECUTORS,
    }
    for kind, names in built_in.items():
        if found := installed_names(kind):
            yield Finding("plugins", "ok", f"{kind}: {', '.join(found)}")
        for clash in find_clashes(kind, names):
            yield Finding("plugins", "bad", clash)


def _probe_framework(code: str) -> tuple[State, str]:
    """List the devices of a framework, in a separate process."""
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


def _check_disk(root: Path) -> Finding:
    usage = shutil.disk_usage(root)
    text = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB at {root}"
    if not os.access(root, os.W_OK):
        return Finding("disk", "bad", f"{root} cannot be written to")
    return Finding("disk", "ok" if usage.free > MIN_FREE_DISK else "bad", text)


def _diagnose_store(root: Path, uri: str | None) -> Finding:
    """Check the store by opening it; a missing one is not created."""
    uri = uri or default_uri(root)
    path = database_path(uri)
    try:
        if path and database_state(path) in ("absent", "empty"):
            check_database(path)
            return Finding(
                "store", "note", f"{path}: does not exist yet; the first study creates it"
            )
        if path:
            check_uri(uri)  # MLflow, whose import takes seconds, would look at nothing else
            says = _describe_database(path)
        else:
            open_store(uri)
            says = f"{redact_text(uri)}: the store answers"
    except HpsearchError as error:
        return Finding("store", "bad", str(error))
    return Finding("store", "ok", says)


def _describe_database(path: Path) -> str:
    """Read all pages of an SQLite store, and describe its size.

    Raises:
        TrackingError: If a page is damaged.
    """
    try:
        with open_for_reading(path) as database:
            [[answer]] = database.execute("pragma quick_check(1)").fetchall()
            [[runs]] = database.execute("select count(*) from runs").fetchall()
    except sqlite3.Error as error:
        answer = str(error)
    if answer != "ok":
        raise TrackingError(f"{path}: {answer}. Restore it from a backup.")
    return f"{path}: {runs:,} runs, {path.stat().st_size / 1e6:.1f} MB"


def repair_store(root: Path, uri: str | None) -> str:
    """Move a half-created SQLite store aside and create a new one; returns a message.

    Raises:
        TrackingError: If it is damaged in another way, or no new one can be created.
    """
    uri = uri or default_uri(root)
    path = database_path(uri)
    if path is None:
        return f"{redact_text(uri)}: is not a file, so there is nothing to repair here"
    if database_state(path) == "half made":
        aside = move_database_aside(path)
        make_database(path)
        return f"{path}: was half made and is now {aside.name}; there is a new one"
    open_store(uri)
    return f"{path}: is whole"


def _check_studies(root: Path) -> Iterator[Finding]:
    for path in list_journals(root):
        for state, message in _diagnose_study(path):
            yield Finding(f"study {path.parent.name}", state, message)


def _diagnose_study(path: Path) -> Iterator[tuple[State, str]]:
    try:
        history = load_history(path, without=CURVES)
        yield from (("bad", wrong) for wrong in find_wrong_files(path.parent, history))
        yield _describe_study(path, history)
    except JournalError as error:
        yield "bad", str(error)
    except OSError as error:
        yield "bad", describe_os_error(error)


def _describe_study(path: Path, history: History) -> tuple[State, str]:
    failed = history.count("FAILED")
    parts = [f"{len(history.ended)} trials" + (f", {failed} failed" if failed else "")]
    state: State = "ok"
    runner = find_owner(path)
    if runner:
        parts.append(f"is being run by {runner}")
    elif history.final is None:
        days = (time.time() - history.last_time / 1000) / 86400
        stale = f", for {days:.0f} days" if days >= STALE_DAYS else ""
        parts.append(f"not finished and not running{stale}: hpsearch tune continues it")
        state = "note"
    if not runner and (pending := _describe_pending(path)):
        parts.append(pending)
        state = "note"
    return state, "; ".join(parts)


def _describe_pending(path: Path) -> str:
    """Describe what a store has not acknowledged; empty if there is nothing."""
    known, remedy = read_upload_states(path), f"hpsearch sync {path.parent.name}"
    if not known:
        return f"nothing of it is in MLflow: {remedy}"
    most = max(known, key=lambda held: held.position.offset)
    missing = path.stat().st_size - most.position.offset
    if not missing:
        return ""
    option = uri_option(most.store, path.parents[3]) if most.store else ""
    return f"{missing:,} bytes of it are not in {most.store or 'MLflow'} yet: {remedy}{option}"
