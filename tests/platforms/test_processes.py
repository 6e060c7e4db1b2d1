"""Child processes end with all their descendants, however they or the parent end."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from hpsearch.platforms.processes import MARK, GroupWatcher, new_mark, own_group

SLEEP = "import time; time.sleep(600)"
PARENT = f"""
import subprocess, sys, time
for alone in (False, True):  # one in its group, one that has left it
    child = subprocess.Popen([sys.executable, "-S", "-c", {SLEEP!r}], start_new_session=alone)
    print(child.pid, flush=True)
time.sleep(600)
"""
COORDINATOR = f"""
import os, subprocess, sys, time
from hpsearch.platforms.processes import GroupWatcher, new_mark, own_group
mark = new_mark()
command = [sys.executable, "-S", "-c", {PARENT!r}]
child = subprocess.Popen(command, env={{**os.environ, **mark}}, **own_group())
watcher = GroupWatcher(child.pid, mark)
time.sleep(600)
"""


def are_gone(pids: list[int]) -> bool:
    """Whether all have ended within 10 s."""
    for _ in range(100):
        if not any(psutil.pid_exists(p) and is_running(p) for p in pids):
            return True
        time.sleep(0.1)
    return False


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_child_ends_with_what_it_started_and_what_left_its_group(is_alive: bool) -> None:
    mark = new_mark()
    parent = subprocess.Popen(
        [sys.executable, "-S", "-c", PARENT],
        env={**os.environ, **mark},
        stdout=subprocess.PIPE,
        **own_group(),
    )
    watcher = GroupWatcher(parent.pid, mark)
    pids = [int(parent.stdout.readline()) for _ in range(2)]
    if not is_alive:
        parent.kill()  # by another hand: its children go on
        parent.wait()
        assert all(is_running(pid) for pid in pids)
    watcher.end_group()
    assert are_gone(pids)
    parent.wait()
    parent.stdout.close()


def test_nothing_survives_a_coordinator_that_is_killed(figure) -> None:
    coordinator = subprocess.Popen(
        [sys.executable, "-c", COORDINATOR], stdout=subprocess.PIPE, text=True
    )
    pids = [int(coordinator.stdout.readline()) for _ in range(2)]
    tree = [p.pid for p in psutil.Process(coordinator.pid).children(recursive=True)]
    assert set(pids) < set(tree)
    began = time.monotonic()
    os.kill(coordinator.pid, signal.SIGKILL)
    assert are_gone(tree)
    figure(orphans=0, seconds=round(time.monotonic() - began, 1))
    coordinator.wait()
    coordinator.stdout.close()


BEARER = f"""
import os, subprocess, sys, time
from hpsearch.platforms.processes import GroupWatcher, new_mark
mark = new_mark()
os.environ.update(mark)  # as a worker on Ray, whose children nobody else marks
watcher = GroupWatcher(None, mark)
{PARENT}
"""


def test_a_watcher_of_a_process_that_bears_the_mark_itself_ends_all_that_it_started() -> None:
    parent = subprocess.Popen([sys.executable, "-c", BEARER], stdout=subprocess.PIPE)
    pids = [int(parent.stdout.readline()) for _ in range(2)]
    parent.kill()
    parent.wait()
    assert are_gone(pids)
    parent.stdout.close()


def test_marks_are_different() -> None:
    assert new_mark()[MARK] != new_mark()[MARK]
