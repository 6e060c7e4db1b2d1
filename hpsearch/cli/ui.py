"""`hpsearch ui`: start MLflow's user interface for a local store, or print a server's address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from ..errors import JournalError, TrackingError
from ..platforms.interrupts import handle_stop_signals
from ..platforms.processes import kill_group, own_group, terminate_group
from ..redaction import redact
from .completion import complete_studies
from .group import main
from .json_output import json_option, print_answer
from .store_option import Command, store_option
from .terminal import print_line

STOP_SECONDS = 5.0  # seconds for MLflow's processes to exit
START_SECONDS = 120.0  # seconds for them to start, with a slow disk or a cold cache
POLL_SECONDS = 0.2
FIRST_PAGE_PORT = 5100  # of the live page
FIRST_PORT, PORTS = 5000, 100  # searched for a free port without --port


def port_option(first: int, what: str = "Port on loopback") -> Callable[[Command], Command]:
    """Add `--port`, for which `choose_port` finds a free one from `first` on."""
    return click.option(
        "--port",
        type=click.IntRange(1, 65535),
        help=f"{what}; the first free one from {first} on if left out.",
    )


@main.command()
@click.argument("study", required=False, shell_complete=complete_studies)
@port_option(FIRST_PORT)
@click.option("--key", default="", help="Which study of that name, where the store has several.")
@store_option()
@json_option
def ui(
    study: str | None, port: int | None, key: str, tracking_uri: str | None, as_json: bool
) -> None:
    """Open the trials of STUDY in MLflow's user interface on this machine.

    Without STUDY: the newest study of this folder. Beside it, the study's live page is served on
    another port. A tracking server serves its own pages: their
    address is printed, and opened on a terminal.
    """
    from ..tracking.database import database_path, database_state
    from ..tracking.databricks import is_databricks, workspace_page
    from ..tracking.store import check_uri, default_uri, is_server, open_store, remove_login

    uri = tracking_uri or default_uri(Path.cwd())
    check_uri(uri)
    if not is_server(uri):
        port = choose_port(port, FIRST_PORT)  # before the store is opened, which takes seconds
    if (path := database_path(uri)) and database_state(path) != "whole":
        open_store(uri)  # created safely here, before MLflow's server would create it
    page = _find_page(uri, study, key)
    if is_server(uri):
        in_workspace = is_databricks(uri)
        own = f"{remove_login(uri).rstrip('/')}/{page}"
        show_address(workspace_page(uri, page) if in_workspace else own, as_json=as_json)
        return
    artifacts = (Path.cwd() / "mlruns" / "artifacts").resolve()
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--default-artifact-root", str(artifacts)]
    command += ["--workers", "1"]  # each worker imports MLflow; the default is 4
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,  # command lines are readable by every user
    }
    address = f"http://127.0.0.1:{port}"
    with _serve_live_page(study):
        raise SystemExit(_run_server(command, environment, address, page, as_json=as_json))


@contextmanager
def _serve_live_page(study: str | None) -> Iterator[None]:
    """Serve the live page of a study, or of the newest, and print its address.

    Does nothing if only the store has the study, and this folder does not.
    """
    from ..reporting.live_page import LivePageServer
    from .study_paths import find_journal, newest_study

    name = study or newest_study()
    journal = find_journal(name) if name else None
    if name is None or journal is None:
        yield
        return
    try:
        server = LivePageServer(journal, choose_port(None, FIRST_PAGE_PORT))
    except JournalError as error:  # MLflow can be opened nevertheless
        print_line(f"no live page of {name}: {error}", err=True)
        yield
        return
    with server:
        print_line(f"live page of {name}: {server.address}", err=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def _find_page(uri: str, study: str | None, key: str) -> str:
    """Return the address after `/` of the trials of a study, or of the list of experiments.

    Raises:
        TrackingError: If `study` was named and is not in the store.
    """
    from ..tracking.runs_view import EXPERIMENTS_PAGE, find_runs_page
    from ..tracking.store import open_store
    from ..tracking.study_runs import find_study_run
    from .study_paths import find_journal, newest_study

    name = study or newest_study()
    if name is None:
        return EXPERIMENTS_PAGE
    client = open_store(uri)
    try:
        run = find_study_run(client, name, key=key, journal=find_journal(name))
    except TrackingError:
        if study:
            raise
        return EXPERIMENTS_PAGE  # the newest study was not sent to this store
    return find_runs_page(client, run)


def show_address(page: str, *, as_json: bool = False) -> None:
    """Print the address, and open it in a browser if run on a terminal."""
    if as_json:
        from ..answers.action_answers import AddressAnswer

        print_answer(AddressAnswer(address=page))
        sys.stdout.flush()  # a reader waits for it while the server runs
        return
    print_line(page)
    if sys.stdout.isatty():
        click.launch(page)


def choose_port(wanted: int | None, first: int) -> int:
    """Return a port on loopback that nothing listens on: the first free one from `first` on.

    Raises:
        click.UsageError: If `wanted` is taken; it names a free one.
    """
    if wanted and _is_free(wanted):
        return wanted
    start = (wanted + 1) if wanted else first
    free = next((p for p in range(start, min(start + PORTS, 65536)) if _is_free(p)), None)
    if wanted or free is None:
        taken = f"port {wanted}" if wanted else f"every port from {start} to {start + PORTS - 1}"
        hint = f" Try --port {free}." if free else " Name another with --port."
        raise click.UsageError(f"{taken} is in use by another program.{hint}")
    if free != first:
        print_line(f"port {first} is in use by another program: taking {free}", err=True)
    return free


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name == "posix":  # as servers do: a port with lingering closed connections is free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _run_server(
    command: list[str], environment: dict[str, str], address: str, page: str, *, as_json: bool
) -> int:
    """Run MLflow until it ends or a signal arrives, then end all of its processes.

    Its output is shown only if it does not start: it logs every request.
    """
    handle_stop_signals(exit_on_signal)
    print_line("MLflow starts; this takes some seconds. Ctrl-C ends it.", err=True)
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, **own_group()
        )
        try:
            if _wait_until_it_answers(server, address):
                show_address(f"{address}/{page}", as_json=as_json)
                return server.wait()
            output.seek(0)
            print_line(redact(output.read().decode(errors="replace")).rstrip(), err=True)
            print_line(f"MLflow's server did not start at {address}; its output is above", err=True)
            return server.poll() or 1
        finally:
            _end_group(server)


def _wait_until_it_answers(server: subprocess.Popen[bytes], address: str) -> bool:
    """Return whether the server answers; False if it has ended or takes too long."""
    from urllib.request import ProxyHandler, build_opener

    opener = build_opener(ProxyHandler({}))  # without a proxy
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            opener.open(f"{address}/health", timeout=5).close()
            return True
        except OSError:
            time.sleep(POLL_SECONDS)
    return False


def exit_on_signal(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _end_group(server: subprocess.Popen[bytes]) -> None:
    handle_stop_signals(signal.SIG_IGN)  # a second signal must not interrupt the cleanup
    try:
        terminate_group(server.pid)
        server.wait(STOP_SECONDS)
        kill_group(server.pid)  # workers that outlive their leader
    except subprocess.TimeoutExpired:
        kill_group(server.pid)
        server.wait()
    except ProcessLookupError:
        pass  # all have exited
