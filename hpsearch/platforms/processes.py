"""Ending processes together with all that they have started.

A child that is given a group of its own is ended with its group; Ctrl-C on the terminal does not
reach it. Windows ends no group: there the tree of descendants is ended, which must be done while
its root is alive.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psutil


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
