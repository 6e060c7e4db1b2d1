"""Checks of the server at a tracking URI, which may be another program."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpsearch.errors import TrackingError
from hpsearch.tracking.server import check_server, login_header


@contextmanager
def answering(text: bytes) -> Iterator[str]:
    """An address that answers with `text`, whatever is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                connection, _ = server.accept()
                with connection:
                    if not connection.recv(65536):
                        return
                    connection.sendall(text)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        socket.create_connection(server.getsockname()).close()  # says nothing: the thread ends
        thread.join(10)


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<html>log in",  # a page for people
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n3.17.2",
    ],
)
def test_what_it_cannot_judge_is_left_to_mlflow(text: bytes) -> None:
    with answering(text) as uri:
        assert not check_server(uri)


UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


def test_a_login_that_is_refused_is_told_with_the_variables_to_set() -> None:
    with (
        answering(UNAUTHORIZED) as uri,
        pytest.raises(TrackingError, match=r"login is refused\. Check MLFLOW_TRACKING_USERNAME"),
    ):
        check_server(uri)


def test_a_login_that_only_mlflow_knows_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "kubernetes")
    with answering(UNAUTHORIZED) as uri:
        assert not check_server(uri)


@pytest.mark.parametrize("source", ["uri", "netrc", "variables", "file", "token"])
def test_a_login_is_taken_from_where_mlflow_takes_it(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    uri = "http://runs.example/mlflow"
    if source == "uri":
        uri = "http://ann:p%40ss@runs.example/mlflow"
    elif source == "netrc":
        (tmp_path / "netrc").write_text("machine runs.example login ann password p@ss\n")
        (tmp_path / "netrc").chmod(0o600)
    elif source == "variables":
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "p@ss")
    elif source == "file":
        (tmp_path / ".mlflow").mkdir()
        (tmp_path / ".mlflow" / "credentials").write_text(
            "[mlflow]\nmlflow_tracking_username = ann\nmlflow_tracking_password = p@ss\n"
        )
    else:
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
        assert {"Authorization": "Bearer t0ken"} == login_header(uri)
        return
    assert {"Authorization": "Basic YW5uOnBAc3M="} == login_header(uri)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:no/", "http://ann:a/b@127.0.0.1:1/c d"])
def test_an_address_that_is_none_is_left_to_mlflow(uri: str) -> None:
    check_server(uri)


def test_a_name_that_no_machine_has_is_told_without_the_password() -> None:
    with pytest.raises(TrackingError, match="tracking store cannot be used") as told:
        check_server("http://ann:canary@no-such-host.invalid:5000/mlflow")
    assert "canary" not in str(told.value)
