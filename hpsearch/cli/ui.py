"""`hpsearch ui`: MLflow's pages of a local store, or the address of a server's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from ..platforms.interrupts import handle_stop_signals
from ..platforms.processes import kill_group, own_group, terminate_group
from .group import main
from .store_option import store_option
from .terminal import print_line

if TYPE_CHECKING:
    from ..tracking.study_runs import StudyRun

STOP_SECONDS = 5.0  # seconds that MLflow's processes get to end


@main.command()
@click.argument("study", required=False)
@click.option("--port", type=click.IntRange(1, 65535), default=5000, help="Port on loopback.")
@click.option("--key", default="", help="Which study of that name, where the store has several.")
@store_option()
def ui(study: str | None, port: int, key: str, tracking_uri: str | None) -> None:
    """MLflow's user interface on the right store, for this machine alone; the page of STUDY.

    A tracking server has pages of its own: their address is printed, and opened on a terminal.
    """
    from ..tracking.database import database_path, database_state
    from ..tracking.store import check_uri, default_uri, is_server, open_store, remove_login

    uri = tracking_uri or default_uri(Path.cwd())
    check_uri(uri)
    if (path := database_path(uri)) and database_state(path) != "whole":
        open_store(uri)  # MLflow's server would make it in place
    run = _find_run(uri, study, key) if study else None
    if is_server(uri):
        if uri.startswith("databricks"):
            print_line(f"{uri} has its own user interface: open the workspace in a browser")
            return
        page = f"{remove_login(uri).rstrip('/')}/{_page_fragment(run)}"
        print_line(page)
        if sys.stdout.isatty():
            click.launch(page)
        return
    print_line(f"http://127.0.0.1:{port}/{_page_fragment(run)}  (Ctrl-C ends it)")
    artifacts = (Path.cwd() / "mlruns" / "artifacts").resolve()
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--default-artifact-root", str(artifacts)]
    command += ["--workers", "1"]  # of four, each imports MLflow, and so do those of its jobs
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **os.environ}
    environment["MLFLOW_BACKEND_STORE_URI"] = uri  # every user can read a command line
    raise SystemExit(_run_server(command, environment))


def _find_run(uri: str, study: str, key: str) -> StudyRun:
    from ..tracking.store import open_store
    from ..tracking.study_runs import find_study_run
    from .study_paths import find_journal

    return find_study_run(open_store(uri), study, key=key, journal=find_journal(study))


def _page_fragment(run: StudyRun | None) -> str:
    return "" if run is None else f"#/experiments/{run.experiment_id}/runs/{run.run_id}"


def _run_server(command: list[str], environment: dict[str, str]) -> int:
    """Run MLflow until it ends or a signal comes; none of its processes is left behind."""
    handle_stop_signals(_exit_on_signal)
    server = subprocess.Popen(command, env=environment, **own_group())
    try:
        return server.wait()
    finally:
        _end_group(server)


def _exit_on_signal(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _end_group(server: subprocess.Popen[bytes]) -> None:
    handle_stop_signals(signal.SIG_IGN)  # a second signal must not leave it half done
    try:
        terminate_group(server.pid)
        server.wait(STOP_SECONDS)
        kill_group(server.pid)  # workers whose leader has ended before them
    except subprocess.TimeoutExpired:
        kill_group(server.pid)
        server.wait()
    except ProcessLookupError:
        pass  # all have ended
