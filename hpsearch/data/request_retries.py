"""Repeat requests to stores, servers and databases after an error that may pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar
from urllib.error import HTTPError

FINAL_SIGNS = ("ACCESS_DENIED", "NO_SUCH", "status 403", "status 404")  # of Arrow's errors
T = TypeVar("T")
TRIES = 3
WAIT_SECONDS = 1.0  # before the second try; twice as long before the third


def may_pass(error: Exception) -> bool:
    """Whether an error of a store or a web server may be gone at the next try."""
    if isinstance(error, HTTPError):
        return error.code >= 500 or error.code in (408, 429)
    if isinstance(error, FileNotFoundError | PermissionError | ValueError):
        return False
    return isinstance(error, OSError) and not any(sign in str(error) for sign in FINAL_SIGNS)


def retry(action: Callable[[], T], passes: Callable[[Exception], bool] = may_pass) -> T:
    """Call `action`, again after an error that may pass; the last error is raised."""
    for number in range(1, TRIES):
        try:
            return action()
        except Exception as error:
            if not passes(error):
                raise
        time.sleep(WAIT_SECONDS * number)
    return action()
