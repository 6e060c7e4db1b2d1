"""Locks: one named holder, no files left behind, also on file systems without locks."""

import errno
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from hpsearch.platforms import locks
from hpsearch.platforms.locks import FileLock, LockHeldError, find_holder

HOLD = """
import sys, time; from pathlib import Path
from hpsearch.platforms import locks
{patch}
lock = locks.FileLock(Path(sys.argv[1])); print("held", flush=True); sys.stdin.read()
"""


class Holder:
    """A process that holds a lock until it is killed or told to end."""

    def __init__(self, path, patch=""):
        command = [sys.executable, "-c", HOLD.format(patch=patch), str(path)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert "held\n" == self.process.stdout.readline()

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.lock"


def grant_all(monkeypatch):
    monkeypatch.setattr(locks, "try_lock", lambda descriptor: True)


def have_none(monkeypatch):
    monkeypatch.setattr(locks, "try_lock", lambda descriptor: None)


GRANT_ALL, HAVE_NONE = "locks.try_lock = lambda d: True", "locks.try_lock = lambda d: None"


def test_a_lock_leaves_no_file_behind_and_can_be_had_again(path):
    for _ in range(2):
        with FileLock(path):
            assert os.getpid() == find_holder(path).pid
        assert [] == os.listdir(path.parent)
    assert find_holder(path) is None


@pytest.mark.parametrize("patch", ["", GRANT_ALL, HAVE_NONE])
def test_a_second_process_is_told_who_has_it_whatever_the_file_system_grants(
    path, patch, monkeypatch
):
    monkeypatch.setattr(locks, "SETTLE_SECONDS", 0.01)
    with Holder(path, patch) as first:
        if patch:
            (grant_all if patch == GRANT_ALL else have_none)(monkeypatch)
        with pytest.raises(LockHeldError, match=rf"process {first.pid} on .* since 20\d\d-"):
            FileLock(path)
        assert first.pid == find_holder(path).pid
    with FileLock(path):  # it ended without giving it back
        assert os.getpid() == find_holder(path).pid


@pytest.mark.parametrize("patch", [None, grant_all, have_none])
def test_of_many_that_come_at_once_one_gets_it(path, patch, monkeypatch):
    monkeypatch.setattr(locks, "SETTLE_SECONDS", 1.0)
    monkeypatch.setattr(locks, "RETRY_SECONDS", 0.0)
    if patch is not None:
        patch(monkeypatch)
    barrier, got, refused = threading.Barrier(8), [], []

    def come():
        barrier.wait()
        try:
            got.append(FileLock(path, patience=0.0))
        except LockHeldError as error:
            refused.append(error)

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (1, 7) == (len(got), len(refused))
    got[0].release()
    assert [] == os.listdir(path.parent)


def test_of_two_that_both_emptied_the_file_the_last_to_write_has_it(path, monkeypatch):
    have_none(monkeypatch)
    first = locks._this_process()
    second = replace(first, since=first.since + 1)
    path.write_bytes(locks._encode(first) + locks._encode(second))
    assert second == find_holder(path)


def test_a_lock_whose_file_was_removed_is_shown_again(path, monkeypatch):
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.02)
    with FileLock(path):
        path.unlink()
        end = time.monotonic() + 5
        while find_holder(path) is None and time.monotonic() < end:
            time.sleep(0.01)
        with pytest.raises(LockHeldError, match=f"process {os.getpid()}"):
            FileLock(path)
    assert [] == os.listdir(path.parent)


def test_a_file_that_was_removed_while_one_waited_for_it_is_not_the_lock(path):
    first = FileLock(path)
    path.unlink()
    with FileLock(path):
        first.release()  # removes no file of another
        assert path.exists()


def test_a_holder_on_another_machine_is_alive_while_it_renews_the_file(path, monkeypatch):
    monkeypatch.setattr(locks, "SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(locks, "STALE_SECONDS", 0.4)
    elsewhere = replace(locks._this_process(), host="another-machine")
    path.write_bytes(locks._encode(elsewhere))
    ended = threading.Event()

    def renew():
        while not ended.wait(0.02):
            locks._renew(path, elsewhere)

    thread = threading.Thread(target=renew)
    thread.start()
    with pytest.raises(LockHeldError, match="on another-machine since"):
        FileLock(path)
    assert find_holder(path) == elsewhere
    ended.set()
    thread.join()
    with FileLock(path):
        assert os.getpid() == find_holder(path).pid


def test_a_process_number_that_was_given_to_another_process_is_no_holder(path):
    path.write_bytes(locks._encode(replace(locks._this_process(), started="1")))
    assert find_holder(path) is None
    with FileLock(path):
        pass


def test_a_lock_that_fails_names_its_file(path, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.EIO, "the network is gone")

    monkeypatch.setattr(locks, "try_lock", fail)
    with pytest.raises(OSError, match="the network is gone") as told:
        FileLock(path)
    assert str(path) == told.value.filename
