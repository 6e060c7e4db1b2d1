"""Log what a command waits for if a server is slow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger("hpsearch.tracking")

SILENT = 3.0  # seconds before a line is logged


@contextmanager
def log_if_slow(what: str) -> Iterator[None]:
    """Log a line while the block runs, if it takes longer than `SILENT` seconds."""
    timer = threading.Timer(SILENT, logger.warning, ("waiting for %s", what))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
