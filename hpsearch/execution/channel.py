"""Messages between a coordinator and a worker over the worker's standard input and output.

Every platform has these pipes, and no descriptor must be inherited. A message is its length in
eight bytes, followed by a pickle. Windows cannot select pipes, so the coordinator reads each
worker's output in a thread.
"""

from __future__ import annotations

import os
import pickle
import struct
import threading
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, Any

LENGTH = struct.Struct("<Q")
GREETING = b"\0hpsearch worker\n"  # anything printed before it, by a start-up script, is skipped


class Channel:
    """One end of the connection; `recv` waits for the next message."""

    def __init__(self, reader: IO[bytes], writer: IO[bytes]) -> None:
        """Read from one pipe and write to the other."""
        self._reader = reader
        self._writer = writer

    def send(self, message: Any) -> None:
        """Pickle and send a message.

        Raises:
            OSError: If the other end is closed.
        """
        self.send_bytes(pickle.dumps(message, protocol=5))

    def send_bytes(self, data: bytes) -> None:
        """Send a pickled message.

        Raises:
            OSError: If the other end is closed.
        """
        try:
            self._writer.write(LENGTH.pack(len(data)))
            self._writer.write(data)
            self._writer.flush()
        except ValueError:  # closed
            raise BrokenPipeError("the channel is closed") from None

    def recv(self) -> Any:
        """Wait for the next message.

        Raises:
            EOFError: If the other end is closed.
        """
        return pickle.loads(self._receive_bytes())

    def _receive_bytes(self) -> bytes:
        (length,) = LENGTH.unpack(self._read_exactly(LENGTH.size))
        return self._read_exactly(length)

    def _read_exactly(self, size: int) -> bytes:
        data = self._reader.read(size)
        if len(data) < size:
            raise EOFError
        return data


class WorkerChannel(Channel):
    """The coordinator's end: a thread receives messages, so that several workers can be awaited.

    Args:
        reader: The worker's standard output.
        writer: The worker's standard input.
        arrived: Notified when a message from any worker is available.
    """

    def __init__(self, reader: IO[bytes], writer: IO[bytes], arrived: threading.Condition) -> None:
        super().__init__(reader, writer)
        self._messages: deque[bytes] = deque()
        self._has_ended = False
        self._arrived = arrived
        threading.Thread(target=self._read_all, name="hpsearch-worker-reader", daemon=True).start()

    @property
    def is_ready(self) -> bool:
        """Whether `recv` would return or raise at once."""
        return bool(self._messages) or self._has_ended

    def recv(self) -> Any:
        """See `Channel`."""
        with self._arrived:
            self._arrived.wait_for(lambda: self.is_ready)
            if not self._messages:
                raise EOFError
            data = self._messages.popleft()
        return pickle.loads(data)

    def close(self) -> None:
        """Close the connection, which tells the worker to exit."""
        with suppress(OSError):
            self._writer.close()

    def _read_all(self) -> None:
        with self._reader, suppress(EOFError, OSError):
            self._skip_greeting()
            while True:
                data = self._receive_bytes()
                with self._arrived:
                    self._messages.append(data)
                    self._arrived.notify_all()
        with self._arrived:
            self._has_ended = True
            self._arrived.notify_all()

    def _skip_greeting(self) -> None:
        seen = b""
        while not seen.endswith(GREETING):
            seen = seen[-len(GREETING) :] + self._read_exactly(1)


def wait_for_any(
    channels: Iterable[WorkerChannel], arrived: threading.Condition, timeout: float
) -> list[WorkerChannel]:
    """Wait up to `timeout` seconds; returns the channels that are ready."""
    known = list(channels)
    end = time.monotonic() + timeout
    with arrived:
        while not (ready := [c for c in known if c.is_ready]):
            left = end - time.monotonic()
            if left <= 0 or not arrived.wait(left):
                break
        return ready


def standard_channel() -> Channel:
    """Return a worker's end, and redirect other output from standard output to standard error."""
    orders, reports = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    channel = Channel(os.fdopen(orders, "rb"), os.fdopen(reports, "wb"))
    with suppress(OSError):  # the coordinator has exited, which the reader detects
        channel._writer.write(GREETING)
        channel._writer.flush()
    return channel
