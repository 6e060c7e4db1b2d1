"""Log files: the one in a study's folder, and the one that `--log-file` names.

hpsearch logs to standard loggers below `hpsearch`: `hpsearch.search`, `.execution`, `.tracking`,
`.promotion`, `.study`. INFO has what was decided, a line or two a trial; DEBUG has each question
and each request. A program that configures logging itself decides by its own levels.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from .redaction import MAX_TRACEBACK_LENGTH, redact, shorten

STUDY_LOG = "study.log"
MAX_BYTES = 1_000_000  # of one file; older lines go to `study.log.1` and `.2`, and then
BACKUPS = 2
LAYOUT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"


class RedactingFilter(logging.Filter):
    """Hides secrets in messages and tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`; every record passes."""
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        if record.exc_text:
            record.exc_text = redact(shorten(record.exc_text, MAX_TRACEBACK_LENGTH))
        return True


class StudyLogHandler(RotatingFileHandler):
    """The log of a study, which never stops it: where a line cannot be written, it is left out."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", delay=True
        )
        make_discreet(self)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """See `logging.Handler`."""


def make_discreet(handler: logging.Handler) -> None:
    """Let a handler of a file write a line a record, in UTC, without secrets."""
    formatter = logging.Formatter(LAYOUT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(RedactingFilter())


def lower_level(level: int) -> None:
    """Let loggers of hpsearch pass what has `level`, unless the program configures logging."""
    logger = logging.getLogger("hpsearch")
    if not logging.getLogger().handlers and logger.getEffectiveLevel() > level:
        logger.setLevel(level)


@contextmanager
def study_log(folder: Path) -> Iterator[None]:
    """Log into `folder` for as long as the block runs. Its files are bounded."""
    logger = logging.getLogger("hpsearch")
    before = logger.level
    handler = StudyLogHandler(folder / STUDY_LOG)
    lower_level(logging.INFO)
    handler.setLevel(min(logging.INFO, logger.getEffectiveLevel()))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
        logger.setLevel(before)
