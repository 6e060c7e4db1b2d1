"""A study that is killed and continued while `watch` follows it on a terminal and a page."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from .conftest import command

pytestmark = pytest.mark.long

PATIENCE = 240  # seconds on a busy machine
SPEC = """\
study: followed
data: {source: "sklearn:breast_cancer", test_fraction: 0.2}
cross_validation: {folds: 2}
training: {epochs: 300, early_stopping: null}
search_space: {learning_rate: {type: float, low: 1e-3, high: 1e-1, log: true}, units: 4}
sampler: {kind: random}
pruner: {kind: none}
budget: {trials: 10000}
"""


@contextmanager
def started(root: Path, *arguments: object, **streams: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a command; nothing of its session is left at the end."""
    child = subprocess.Popen(
        command(*arguments), cwd=root, text=True, start_new_session=True, **streams
    )
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()  # closes its pipes


class Screen:
    """Everything that a command prints on a terminal of 50 lines."""

    def __init__(self) -> None:
        self._ours, self.terminal = pty.openpty()
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        self._printed = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError):  # the other side is closed: the command has ended
            while block := os.read(self._ours, 65_536):
                self._printed += block
        os.close(self._ours)

    def read_text(self) -> str:
        """Return what was printed, with each drawing's words on one line."""
        text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", self._printed.decode(errors="ignore"))
        return " ".join(text.split())


def wait_for(read_text: Callable[[], str], pattern: str) -> re.Match[str]:
    """Return the last match of `pattern` in the text, once there is one."""
    deadline = time.monotonic() + PATIENCE
    while True:
        text = read_text()
        if found := [*re.finditer(pattern, text)]:
            return found[-1]
        assert time.monotonic() < deadline, f"{pattern!r} was never shown: {text[-2000:]}"
        time.sleep(0.1)


def test_a_killed_study_is_called_stopped_and_goes_on_under_the_eyes_of_its_followers(
    tmp_path: Path, browser: Any
) -> None:
    spec = tmp_path / "followed.yaml"
    spec.write_text(SPEC)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    tune = ("tune", spec, "--offline")

    def read_page() -> str:
        text = browser.execute_script("return document.querySelector('main').innerText")
        return " ".join(text.split())

    def see(pattern: str) -> int:
        """The number of trials that the terminal and then the page show with this pattern."""
        wait_for(screen.read_text, pattern)
        return int(wait_for(read_page, pattern)[1])

    with started(tmp_path, *tune, **quiet) as study:
        journal = tmp_path / "mlruns" / "studies" / "followed" / "journal.jsonl"
        wait_for(lambda: f"{journal.exists()} {study.poll()}", "True None")
        screen = Screen()
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), screen.terminal)
        serve = started(tmp_path, "watch", "--page", stdout=subprocess.PIPE)
        with started(tmp_path, "watch", **streams) as watch, serve as server:
            os.close(screen.terminal)
            browser.get(server.stdout.readline().strip())
            see(r"Running \(phase 1 of 6: search\): ([1-9]\d*) of 10000 trials have ended")
            study.kill()
            study.wait()
            stopped = see(r"Stopped: (\d+) of 10000 trials have ended")
            assert "stopped in phase 1 of 6: search" in screen.read_text()
            with started(tmp_path, *tune, "--trials", "20000", **quiet):
                running = r"Running \(phase 1 of 6: search\): (\d+) of 20000 trials have ended"
                deadline = time.monotonic() + PATIENCE
                while see(running) <= stopped:
                    assert time.monotonic() < deadline
                assert watch.poll() is None
