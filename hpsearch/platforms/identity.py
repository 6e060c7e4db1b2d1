"""The user and the machine of this process."""

from __future__ import annotations

import getpass
import os
import socket


def user_name() -> str:
    """Return the user's name on the tracking server, or else on this machine.

    In a container, the user may have only a number.
    """
    if name := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # not in the password database
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def host_name() -> str:
    """Return the name of this machine."""
    return socket.gethostname()
