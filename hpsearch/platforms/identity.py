"""Who runs this process, and on which machine."""

from __future__ import annotations

import getpass
import os
import socket


def user_name() -> str:
    """The name that the user has on a tracking server with logins, else on this machine.

    A container's user may have none but a number.
    """
    if name := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no entry in the password database
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def host_name() -> str:
    """The name of this machine."""
    return socket.gethostname()
