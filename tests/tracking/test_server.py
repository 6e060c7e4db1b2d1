"""A real server behind a proxy that cuts connections: no data lost or doubled."""

import contextlib
import socket
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import synthetic
from mlflow_server import TrackingServer

from hpsearch.journal import Journal
from hpsearch.tracking.store import journal_path
from hpsearch.tracking.study_sync import sync_study
from hpsearch.tracking.uploader import Uploader

PATIENCE = 400  # seconds for all requests, on a machine that is very busy


class Proxy:
    """Forwards HTTP to a port; cuts the connection instead of giving back some answers, gives
    back an error in their place, or holds all answers back for a while.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.cut_after = 0  # answers between two cuts; 0: never
        self.cut_growth = 0  # more answers each time, so that no step begins for ever
        self.cut_with = b""  # said before the connection is cut
        self.flowing = threading.Event()
        self.flowing.set()
        self.answers = 0  # since the last cut
        self.cuts = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self.target))
                asked = threading.Event()
                for work in (self._pass_requests, self._pass_answers):
                    threading.Thread(target=work, args=(near, far, asked), daemon=True).start()

    def _pass_requests(
        self, near: socket.socket, far: socket.socket, asked: threading.Event
    ) -> None:
        with contextlib.suppress(OSError), near, far:
            while data := near.recv(65536):
                asked.set()
                far.sendall(data)

    def _pass_answers(
        self, near: socket.socket, far: socket.socket, asked: threading.Event
    ) -> None:
        with contextlib.suppress(OSError), near, far:
            while data := far.recv(65536):
                self.flowing.wait()
                if asked.is_set():  # else more of the same answer
                    asked.clear()
                    self.answers += 1
                    if self.cut_after and self.answers >= self.cut_after:
                        self._cut(near)
                        return
                near.sendall(data)

    def _cut(self, near: socket.socket) -> None:
        self.answers = 0
        self.cuts += 1
        self.cut_after += self.cut_growth
        near.sendall(self.cut_with)
        near.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()


@pytest.fixture(scope="module")
def server(tracking_server: TrackingServer) -> tuple[int, Path]:
    """The port of an MLflow server, and its database."""
    return tracking_server.port, tracking_server.database


@pytest.fixture
def proxy(server: tuple[int, Path]) -> Iterator[Proxy]:
    made = Proxy(server[0])
    yield made
    made.close()


def stored(database: Path, experiment: str) -> tuple[Counter[object], Counter[object]]:
    """How often each run and each point of an experiment is there; not how busy the machine was."""
    where = (
        "from runs r join experiments e using (experiment_id) {} "
        "where r.lifecycle_stage = 'active' and e.name = ?"
    )
    points = where.format("join metrics m using (run_uuid)") + " and m.key not like 'system/%'"
    with sqlite3.connect(database) as connection:
        runs = connection.execute(f"select r.name, r.status {where.format('')}", [experiment])
        values = connection.execute(
            f"select r.name, m.key, m.step, m.timestamp, m.value {points}", [experiment]
        )
        return Counter(runs.fetchall()), Counter(values.fetchall())


def place(root: Path, name: str, study: str) -> Path:
    records = synthetic.study(5, folds=2, epochs=3)
    records[0] |= {"key": f"key-of-{name}", "study": study}
    return synthetic.write(journal_path(root, name), records)


def test_answers_that_get_lost_lose_and_double_nothing(
    server: tuple[int, Path],
    proxy: Proxy,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    figure: Callable[..., None],
) -> None:
    port, database = server
    sync_study(place(tmp_path, "direct", "study"), f"http://127.0.0.1:{port}")
    proxy.cut_after, proxy.cut_growth = 5, 1
    journal = place(tmp_path, "cut", "study-cut")
    uploader = Uploader(journal, f"http://127.0.0.1:{proxy.port}", first_pause=0.01).start()
    assert uploader.flush(PATIENCE)
    assert uploader.close(PATIENCE)
    assert proxy.cuts > 5
    assert () == uploader.refusals
    direct, cut = stored(database, "study"), stored(database, "study-cut")
    renamed = [
        Counter({(name.replace("study-cut", "study"), *rest): n for (name, *rest), n in c.items()})
        for c in cut
    ]
    assert list(direct) == renamed
    assert {1} == {*cut[0].values(), *cut[1].values()}
    assert "" == capfd.readouterr().out  # `tune --json` owns stdout
    figure(connections_cut=proxy.cuts, points_lost=0, points_doubled=0)


def test_a_server_that_comes_back_gets_what_it_missed(
    server: tuple[int, Path], proxy: Proxy, tmp_path: Path
) -> None:
    _, database = server
    journal = place(tmp_path, "away", "study-away")
    proxy.cut_after = 1
    uri = f"http://127.0.0.1:{proxy.port}"
    with Uploader(journal, uri, first_pause=0.01) as uploader:
        with pytest.raises(Exception, match="tracking store cannot be used"):
            uploader.wait_open(60)
        assert not uploader.flush(0.2)
        assert uploader.pending > 0
        proxy.cut_after = 0
        assert uploader.flush(PATIENCE)
        assert uploader.run_id(0) is not None
    runs, points = stored(database, "study-away")
    assert 7 == len(runs)
    assert {1} == set(points.values())


def test_a_server_that_fails_midway_loses_and_doubles_nothing(
    server: tuple[int, Path], proxy: Proxy, tmp_path: Path, figure: Callable[..., None]
) -> None:
    _, database = server
    proxy.cut_with = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
    proxy.cut_after, proxy.cut_growth = 5, 1
    journal = place(tmp_path, "failing", "study-failing")
    uri = f"http://127.0.0.1:{proxy.port}"
    with Uploader(journal, uri, first_pause=0.01) as uploader:
        assert uploader.flush(PATIENCE)
    assert proxy.cuts > 3
    runs, points = stored(database, "study-failing")
    assert 7 == len(runs)
    assert {1} == {*runs.values(), *points.values()}
    figure(answers_of_500=proxy.cuts, runs_lost=0, points_doubled=0)


def test_trials_end_while_the_server_is_silent(
    server: tuple[int, Path], proxy: Proxy, tmp_path: Path, figure: Callable[..., None]
) -> None:
    _, database = server
    records = synthetic.study(5, folds=2, epochs=3)
    records[0] |= {"key": "key-of-silent", "study": "study-silent"}
    path = journal_path(tmp_path, "silent")
    uri = f"http://127.0.0.1:{proxy.port}"
    with Journal(path) as journal, Uploader(path, uri, first_pause=0.01) as uploader:
        proxy.flowing.clear()
        for record in records:
            fields = {k: v for k, v in record.items() if k not in ("seq", "time", "event")}
            journal.append(synthetic.event(record["event"], **fields))
            uploader.wake()
        assert len(records) == len(synthetic.read_records(path))  # though no answer has come
        assert 0 == proxy.cuts
        proxy.flowing.set()
        assert uploader.flush(PATIENCE)
    runs, points = stored(database, "study-silent")
    assert 7 == len(runs)
    assert {1} == {*runs.values(), *points.values()}
    figure(runs_lost=0, points_doubled=0)


def test_the_password_of_a_servers_uri_is_in_no_file_of_the_study_and_in_no_run(
    server: tuple[int, Path], tmp_path: Path, figure: Callable[..., None]
) -> None:
    port, database = server
    journal = place(tmp_path, "guarded", "study-guarded")
    secret = "canary-7f3a9"
    sync_study(journal, f"http://ann:{secret}@127.0.0.1:{port}")
    assert 7 == len(stored(database, "study-guarded")[0])
    files = [p for root in (tmp_path, database.parent) for p in root.rglob("*") if p.is_file()]
    assert {"journal.jsonl", database.name} <= {path.name for path in files}
    found = [path for path in files if secret.encode() in path.read_bytes()]
    assert [] == found
    figure(password_found=len(found))
