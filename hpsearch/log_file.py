"""Log files: of a study, and of `--log-file`.

hpsearch uses the standard loggers `hpsearch.search`, `.execution`, `.tracking`, `.promotion` and
`.study`. INFO logs decisions, one or two lines per trial; DEBUG every suggestion and request. The
levels of a program that configures logging itself are respected.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from .redaction import MAX_TRACEBACK_LENGTH, redact, shorten

STUDY_LOG = "study.log"
MAX_BYTES = 1_000_000  # per file; older lines go to `study.log.1` and `.2`
BACKUPS = 2
LAYOUT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"


class RedactingFilter(logging.Filter):
    """Hides secrets in messages and tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record; every record passes. See `logging.Filter`."""
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
            record.exc_info = None
        if record.exc_text:
            record.exc_text = redact(shorten(record.exc_text, MAX_TRACEBACK_LENGTH))
        return True


class StudyLogHandler(RotatingFileHandler):
    """The log of a study; a line that cannot be written is dropped, and the study continues."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, maxBytes=MAX_BYTES, backupCount=BACKUPS, encoding="utf-8", delay=True
        )
        redact_lines(self)

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """See `logging.Handler`."""


def redact_lines(handler: logging.Handler) -> None:
    """Make a file handler write one redacted line per record, in UTC."""
    formatter = logging.Formatter(LAYOUT, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(RedactingFilter())


def lower_level(level: int) -> None:
    """Lower the level of hpsearch's loggers, unless the program configures logging."""
    logger = logging.getLogger("hpsearch")
    if not logging.getLogger().handlers and logger.getEffectiveLevel() > level:
        logger.setLevel(level)


@contextmanager
def study_log(folder: Path) -> Iterator[None]:
    """Log into `folder` while the block runs; the files' sizes are bounded."""
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
