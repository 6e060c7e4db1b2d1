"""Ending processes together with all that they have started.

A child that is given a group of its own is ended with its group; Ctrl-C on the terminal does not
reach it. Windows ends no group: there the tree of descendants is ended, which must be done while
its root is alive. What has left the group (`setsid`, `nohup`, a daemon) is found on Linux by a mark
in its environment, which every descendant inherits.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil


MARK = "HPSEARCH_GROUP"  # the variable that marks a child and all that it starts
# Waits until its standard input is closed: by whoever started it, or by the system because that
# process is gone, however it ended. $1: the group's number, or nothing; $2: the mark; $3: a file to
# remove where nothing was written to that input first, or nothing.
_WATCH = """
read -r told
[ -n "$1" ] && kill -s KILL -- "-$1"
for _ in 1 2; do
  for file in $(grep -lsaF -- "$2" /proc/[0-9]*/environ); do
    process=${file#/proc/}
    kill -s KILL "${process%/environ}"
  done
done
[ -z "$told" ] && [ -n "$3" ] && rm -f -- "$3"
"""


def new_mark() -> dict[str, str]:
    """A variable for a child's environment by which `GroupWatcher` finds its descendants."""
    import secrets

    return {MARK: secrets.token_hex(16)}


class GroupWatcher:
    """Ends a child's group and marked descendants on request, or when this process is gone.

    A shell of 1 MB that reads a pipe which only this process holds open: no `kill -9` of this
    process is too sudden for it, and no native code of the child keeps it from its work. Windows
    has no shell to do it; there a child exits when its coordinator is gone.
    """

    def __init__(
        self, group: int | None, mark: Mapping[str, str], *, file: Path | None = None
    ) -> None:
        """Watch over the group that process `group` leads, or only over what bears the mark.

        Remove `file` too when this process is gone, but not for `end_group`.
        """
        import subprocess

        self._group = group
        self._popen: subprocess.Popen[bytes] | None = None
        if sys.platform == "win32":
            return
        named = f"{MARK}={mark[MARK]}"
        self._popen = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "watcher", str(group or ""), named, str(file or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            # Without the mark, which this process may bear itself: it would end itself first.
            env={name: value for name, value in os.environ.items() if name != MARK},
            **own_group(),
        )

    def end_group(self) -> None:
        """End what is watched over, and wait for it."""
        if self._popen is None:
            if self._group is not None:
                with suppress(ProcessLookupError):
                    kill_group(self._group)
            return
        assert self._popen.stdin is not None
        if not self._popen.stdin.closed:
            with suppress(OSError):  # it may have ended
                self._popen.stdin.write(b"end\n")
                self._popen.stdin.close()
        self._popen.wait()


def own_group() -> dict[str, Any]:
    """Arguments of `subprocess.Popen` that give a child a group of its own."""
    if sys.platform == "win32":
        import subprocess

        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def terminate_group(pid: int) -> None:
    """Ask a process that leads its group, and all in it, to end. Windows gives no time to do so.

    Raises:
        ProcessLookupError: If all have ended.
    """
    if sys.platform == "win32":
        _kill_tree(pid)
    else:
        os.killpg(pid, signal.SIGTERM)


def kill_group(pid: int) -> None:
    """End a process that leads its group, and all in it, at once.

    Raises:
        ProcessLookupError: If all have ended.
    """
    if sys.platform == "win32":
        _kill_tree(pid)
    else:
        os.killpg(pid, signal.SIGKILL)


def kill_descendants(process: psutil.Process) -> None:
    """End all that a process has started, and the groups that these lead."""
    for child in process.children(recursive=True):
        with suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                _kill(child)
            elif os.getpgid(child.pid) == child.pid:
                os.killpg(child.pid, signal.SIGKILL)
            else:
                os.kill(child.pid, signal.SIGKILL)


def kill_self() -> None:
    """End this process without any cleanup."""
    import psutil

    psutil.Process().kill()


def _kill_tree(pid: int) -> None:
    import psutil

    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        raise ProcessLookupError(pid) from None
    for process in tree:
        _kill(process)


def _kill(process: psutil.Process) -> None:
    import psutil

    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process.kill()
