"""End processes together with all their descendants.

A child in a separate process group is ended with its group, and does not receive Ctrl-C from the
terminal. Windows cannot end a group: there, the tree of descendants is ended while its root is
alive. Descendants that have left the group (`setsid`, `nohup`, daemons) are found on Linux by a
mark in their inherited environment.
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


MARK = "HPSEARCH_GROUP"  # environment variable that marks a child and its descendants
# Waits until its standard input closes: by the parent, or by the system when the parent ends in
# any way. $1: the group's number, or empty; $2: the mark; $3: a file to remove if nothing was
# written to the input before, or empty.
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
    """Create a variable for a child's environment that marks its descendants."""
    import secrets

    return {MARK: secrets.token_hex(16)}


class GroupWatcher:
    """Ends a child's group and marked descendants on request, or when this process exits.

    It is a 1 MB shell process that reads a pipe held open by this process, so it works even after
    `kill -9` of this process, and while native code blocks the child. On Windows, which has no
    such shell, children exit when their coordinator does.
    """

    def __init__(
        self, group: int | None, mark: Mapping[str, str], *, file: Path | None = None
    ) -> None:
        """Watch the process group `group`, or only marked processes.

        Also removes `file` when this process exits, but not on `end_group`.
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
            # Without the mark, which this process may have inherited: the watcher would end itself.
            env={name: value for name, value in os.environ.items() if name != MARK},
            **own_group(),
        )

    def end_group(self) -> None:
        """End the watched processes, and wait for them."""
        if self._popen is None:
            if self._group is not None:
                with suppress(ProcessLookupError):
                    kill_group(self._group)
            return
        assert self._popen.stdin is not None
        if not self._popen.stdin.closed:
            with suppress(OSError):  # it may have exited
                self._popen.stdin.write(b"end\n")
                self._popen.stdin.close()
        self._popen.wait()


def own_group() -> dict[str, Any]:
    """Return arguments of `subprocess.Popen` that start a new process group."""
    if sys.platform == "win32":
        import subprocess

        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def terminate_group(pid: int) -> None:
    """Send SIGTERM to a process group; on Windows, kill it immediately.

    Raises:
        ProcessLookupError: If no process of the group exists.
    """
    if sys.platform == "win32":
        _kill_tree(pid)
    else:
        os.killpg(pid, signal.SIGTERM)


def kill_group(pid: int) -> None:
    """Kill a process group.

    Raises:
        ProcessLookupError: If no process of the group exists.
    """
    if sys.platform == "win32":
        _kill_tree(pid)
    else:
        os.killpg(pid, signal.SIGKILL)


def kill_descendants(process: psutil.Process) -> None:
    """Kill the descendants of a process, and the groups that they lead."""
    for child in process.children(recursive=True):
        with suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                _kill(child)
            elif os.getpgid(child.pid) == child.pid:
                os.killpg(child.pid, signal.SIGKILL)
            else:
                os.kill(child.pid, signal.SIGKILL)


def kill_self() -> None:
    """Kill this process without cleanup."""
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
