"""Messages over a child's standard input and output."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hpsearch.execution.channel import WorkerChannel, wait_for_any

ECHO = """
import sys
print("a start-up script says hello", flush=True)
from hpsearch.execution.channel import standard_channel
channel = standard_channel()
print("printed by a library", flush=True)
while True:
    try:
        channel.send(channel.recv())
    except EOFError:
        break
"""


class Child:
    def __init__(self, arrived):
        pipe = subprocess.PIPE
        self.popen = subprocess.Popen(
            [sys.executable, "-c", ECHO], stdin=pipe, stdout=pipe, stderr=pipe
        )
        self.channel = WorkerChannel(self.popen.stdout, self.popen.stdin, arrived)

    def end(self):
        self.channel.close()
        printed = self.popen.stderr.read()
        self.popen.stderr.close()
        self.popen.wait()
        return printed


@pytest.fixture
def arrived():
    return threading.Condition()


@pytest.fixture
def child(arrived):
    started = Child(arrived)
    yield started
    started.end()


def test_messages_come_back_whole_and_in_order(child):
    sent = [b"", b"x" * (1 << 20), {"a": [1.5, None]}]
    for message in sent:
        child.channel.send(message)
    assert sent == [child.channel.recv() for _ in sent]


def test_what_a_worker_prints_is_no_message(arrived):
    child = Child(arrived)
    child.channel.send("order")
    assert "order" == child.channel.recv()
    assert b"printed by a library\n" == child.end()


def test_a_worker_that_ends_is_seen_after_its_last_message(arrived):
    child = Child(arrived)
    child.channel.send("last")
    child.channel.close()
    assert "last" == child.channel.recv()
    assert [child.channel] == wait_for_any([child.channel], arrived, 10)
    with pytest.raises(EOFError):
        child.channel.recv()
    child.end()


def test_sending_to_a_worker_that_was_killed_says_so(child):
    child.popen.kill()
    child.popen.wait()
    with pytest.raises(BrokenPipeError):
        child.channel.send(b"x" * (1 << 22))  # more than the system takes into its buffer


def test_of_several_the_one_that_has_something_is_told(arrived, child):
    other = Child(arrived)
    other.channel.send(1)
    assert [other.channel] == wait_for_any([child.channel, other.channel], arrived, 10)
    other.channel.recv()
    other.end()


def test_waiting_for_nothing_ends_in_time(arrived, child):
    begun = time.monotonic()
    assert [] == wait_for_any([child.channel], arrived, 0.05)
    assert time.monotonic() - begun < 5


def test_workers_remove_the_shared_rows_when_their_coordinator_is_killed(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; "
        "from hpsearch.execution.process_executor import ProcessExecutor; "
        "executor = ProcessExecutor(trainer='vectorized', logs=Path(sys.argv[1])); "
        "print(executor._shared.path, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=False
    )
    rows = Path(killed.stdout.strip())
    end = time.monotonic() + 60
    while rows.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert "hpsearch-rows-" in rows.name
    assert not rows.exists()
