"""What answers at a server's address may be something else; only what is known is refused."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hpsearch.errors import TrackingError
from hpsearch.tracking.server import check_server


@contextmanager
def answering(text: bytes) -> Iterator[str]:
    """An address that answers one connection with `text`, whatever is asked."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(text)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<html>log in",  # a page for people
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n3.17.2",
    ],
)
def test_what_it_cannot_judge_is_left_to_mlflow(text: bytes) -> None:
    with answering(text) as uri:
        check_server(uri)


@pytest.mark.parametrize("uri", ["http://127.0.0.1:no/", "http://ann:a/b@127.0.0.1:1/c d"])
def test_an_address_that_is_none_is_left_to_mlflow(uri: str) -> None:
    check_server(uri)


def test_a_name_that_no_machine_has_is_told_without_the_password() -> None:
    with pytest.raises(TrackingError, match="tracking store cannot be used") as told:
        check_server("http://ann:canary@no-such-host.invalid:5000/mlflow")
    assert "canary" not in str(told.value)
