"""An MLflow server for tests."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS = 400  # for a server on a machine that is very busy


@dataclass(frozen=True)
class TrackingServer:
    """A server over a SQLite store."""

    uri: str
    database: Path

    @property
    def port(self) -> int:
        return int(self.uri.rpartition(":")[2])


@contextmanager
def tracking_server_in(folder: Path, empty_store: Path) -> Iterator[TrackingServer]:
    """A server whose database and artifacts are in `folder`."""
    database = folder / "mlflow.db"
    database.write_bytes(empty_store.read_bytes())
    where = ("--workers", "1", "--backend-store-uri", f"sqlite:///{database}")
    where += ("--artifacts-destination", str(folder / "artifacts"))
    with served("server", *where, path="/health") as uri:
        yield TrackingServer(uri, database)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served(
    *arguments: str, path: str, env: Mapping[str, str] | None = None, python: str = sys.executable
) -> Iterator[str]:
    """The address of a `mlflow …` server, once `path` answers.

    `env` is added to the environment; `python` may be that of another version of MLflow's.
    """
    port = free_port()
    beside = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"  # uvicorn is there
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [python, "-m", "mlflow", *arguments, "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, **quiet, **(env or {}), "PATH": beside}
    with until_served(command, port, environment, path=path):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def until_served(
    command: list[str], port: int, env: Mapping[str, str], *, path: str = "/health"
) -> Iterator[None]:
    """Run a server inside the block, which begins once `path` answers at `port`."""
    with subprocess.Popen(
        command,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as server:
        try:
            end = time.monotonic() + SECONDS
            while not _answers(f"http://127.0.0.1:{port}{path}"):
                assert server.poll() is None
                assert time.monotonic() < end
                time.sleep(0.2)
            yield
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except (OSError, urllib.error.URLError):
        return False
    return True
