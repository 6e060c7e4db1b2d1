"""`hpsearch predict` where the store of files fails: what it waits for, and one line at the end."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import chdir, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow_server import served
from promotion.conftest import Store
from server_parts import S3_KEYS, s3_server

from hpsearch.cli import main
from hpsearch.promotion import Reference, promote_run
from hpsearch.tracking import waiting

pytestmark = pytest.mark.long
BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Relay:
    """Forwards connections to a port, or fails them as `mode` says."""

    def __init__(self, target: int) -> None:
        self.mode = "forward"  # refuse: closed at once; busy: 503; silent: no answer
        self._target = target
        self._held: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(near, self.mode), daemon=True).start()

    def _serve(self, near: socket.socket, mode: str) -> None:
        if mode == "silent":
            self._held.append(near)
            return
        with near, suppress(OSError):
            if mode == "busy":
                near.recv(65536)
                near.sendall(BUSY)
            elif mode == "forward":
                with socket.create_connection(("127.0.0.1", self._target)) as far:
                    back = threading.Thread(target=_copy, args=(far, near), daemon=True)
                    back.start()
                    _copy(near, far)
                    back.join(60)

    def close(self) -> None:
        self._server.close()
        for held in self._held:
            held.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    with s3_server("models") as uri:
        made = Relay(int(uri.rpartition(":")[2]))
        yield made
        made.close()


@pytest.fixture(scope="module", params=["direct", "proxied"])
def server(
    relay: Relay,
    store: Store,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """A server with `m@champion`, whose files are in S3 behind the relay."""
    folder = tmp_path_factory.mktemp("server")
    where = ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    if request.param == "proxied":
        where += ["--artifacts-destination", "s3://models/proxied"]
    else:
        where += ["--no-serve-artifacts", "--default-artifact-root", "s3://models/direct"]
    env = {**S3_KEYS, "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{relay.port}"}
    relay.mode = "forward"
    with (
        served("server", *where, path="/health", env=env) as uri,
        pytest.MonkeyPatch.context() as p,
    ):
        for name, value in env.items():
            p.setenv(name, value)
        run = store.study(f"files-{request.param}")
        final = store.client.download_artifacts(run, "final", str(folder))
        client = MlflowClient(uri)
        experiment = client.create_experiment("of-files")
        made = client.create_run(experiment, tags={"hpsearch.kind": "study"}).info.run_id
        client.log_artifacts(made, final, "final")
        promote_run(client, made, Reference("m"))
        yield uri


def answer(folder: Path, uri: str, table: Path) -> tuple[Result, float]:
    began = time.monotonic()
    with chdir(folder):
        done = CliRunner().invoke(main, ["predict", "m", str(table), "--tracking-uri", uri])
    return done, time.monotonic() - began


@pytest.mark.parametrize("mode", ["refuse", "busy", "silent"])
def test_a_store_of_files_that_fails_is_told_and_predict_ends_in_one_line(
    mode: str,
    server: str,
    relay: Relay,
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(waiting, "SILENT", 0.0)  # whatever is quick today
    relay.mode = mode
    try:
        done, seconds = answer(tmp_path, server, table)
    finally:
        relay.mode = "forward"
    print(f"{mode}: {seconds:.0f} s, {done.output}")
    assert 2 == done.exit_code
    (told,) = [line for line in done.output.splitlines() if "waiting for" not in line]
    assert "m@champion cannot be fetched: " in told
    assert [] == re.findall("<|HTTPConnectionPool|%2F", told)
    assert "waiting for the files of m@champion, from " in done.output + caplog.text


def test_it_works_again_afterwards(server: str, table: Path, tmp_path: Path) -> None:
    done, _ = answer(tmp_path, server, table)
    assert 0 == done.exit_code
    assert 501 == len([line for line in done.stdout.splitlines() if "," in line])
