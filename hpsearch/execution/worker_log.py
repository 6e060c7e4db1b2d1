"""The log of a worker: its redacted output, in two files of bounded size.

A thread reads the worker's standard error, so output of native libraries and child processes is
included. A full disk or too much output never blocks a worker: excess output is dropped, and its
end is kept.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from ..redaction import redact

FILE_BYTES = 2_500_000  # bytes of the log; as many older ones are kept in `.1`
SECOND_BYTES = 500_000  # bytes written per second
LINE_BYTES = 1 << 16  # bytes after which an incomplete line is written
LAST_BYTES, LAST_LINES = 4096, 8  # bytes of the log quoted in an error message
DRAIN_SECONDS = 1.0  # seconds for the last output of an exited worker


class WorkerLog:
    """A log file, and the threads that write it for a worker and its successor."""

    def __init__(self, path: Path) -> None:
        """Append to the file at `path`; if it cannot be written, output is dropped."""
        self.path = path
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()  # named in messages
        self._lock = threading.Lock()
        self._second = 0.0  # start of the current second
        self._written = 0  # bytes written in it
        self._left_out = 0  # bytes
        self._last = b""  # end of the dropped output

    def read_from(self, pipe: IO[bytes]) -> threading.Thread:
        """Read a worker's output until it and its children have exited."""
        thread = threading.Thread(
            target=self._read_all, args=(pipe,), name="hpsearch-worker-log", daemon=True
        )
        thread.start()
        return thread

    def _read_all(self, pipe: IO[bytes]) -> None:
        with pipe:
            for lines in whole_lines(pipe):
                self.write(lines)
        with self._lock:
            self._write_remainder()

    def write(self, data: bytes) -> None:
        """Append whole lines, or drop them if this second's limit is used up."""
        if not data:
            return
        with self._lock:
            now = time.monotonic()
            if now - self._second >= 1.0:
                self._write_remainder()
                self._second, self._written = now, 0
            if self._left_out or self._written + len(data) > SECOND_BYTES:
                self._left_out += len(data)
                self._last = (self._last + data)[-LAST_BYTES:]
                return
            self._append(data)

    def _write_remainder(self) -> None:
        """Write how much was dropped, and its end."""
        if self._left_out:
            count = self._left_out - len(self._last)
            self._append(f"… {count:,} bytes left out …\n".encode() + self._last)
            self._left_out, self._last = 0, b""

    def _append(self, data: bytes) -> None:
        data = _discreet(data)
        self._written += len(data)
        with suppress(OSError):  # a full disk must not affect the worker
            with suppress(FileNotFoundError):
                if self.path.stat().st_size + len(data) > FILE_BYTES:
                    os.replace(self.path, self._previous_path)
            with self.path.open("ab") as file:
                file.write(data)

    @property
    def _previous_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.1")

    def read_tail(self) -> str:
        """Read the last lines of the log."""
        text = b"".join(_read_end(path) for path in (self._previous_path, self.path))[-LAST_BYTES:]
        return "\n".join(text.decode(errors="replace").splitlines()[-LAST_LINES:])


class RedactedOutput:
    """Redacts the output of this process and its children.

    A thread forwards the output, so the last output of a killed process is lost. Crash dumps, which
    contain no values, bypass it.
    """

    def __init__(self) -> None:
        """Redirect standard output and standard error."""
        self._kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
        if faulthandler.is_enabled():
            faulthandler.enable(self._kept[2])
        self._threads = [self._pass_on(*pair) for pair in self._kept.items()]

    def _pass_on(self, descriptor: int, kept: int) -> threading.Thread:
        reader, writer = os.pipe()
        os.dup2(writer, descriptor)
        os.close(writer)
        thread = threading.Thread(
            target=self._copy, args=(reader, kept), name="hpsearch-output", daemon=True
        )
        thread.start()
        return thread

    def _copy(self, reader: int, kept: int) -> None:
        with open(reader, "rb", buffering=0) as pipe:
            for lines in whole_lines(pipe):
                with suppress(OSError):  # a full disk
                    os.write(kept, _discreet(lines))

    def close(self) -> None:
        """Restore standard output and error after all output has been forwarded."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        for descriptor, kept in self._kept.items():
            os.dup2(kept, descriptor)
        for thread in self._threads:  # a child may hold the pipe open
            thread.join(DRAIN_SECONDS)


def whole_lines(pipe: IO[bytes]) -> Iterator[bytes]:
    """Iterate over the lines read from a pipe; a very long one comes in pieces."""
    rest = b""
    with suppress(OSError):
        while chunk := os.read(pipe.fileno(), LINE_BYTES):
            whole, newline, rest = (rest + chunk).rpartition(b"\n")
            yield whole + newline
            if len(rest) >= LINE_BYTES:
                yield rest
                rest = b""
    yield rest


def _discreet(data: bytes) -> bytes:
    return redact(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _read_end(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
            return file.read()
    except OSError:
        return b""
