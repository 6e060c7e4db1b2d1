"""The error tree: everything that a user's input, file or server can cause.

    HpsearchError
    ├── SpecError         the study's file: every problem with its line
    ├── DataError         the table: where, what was found, how to fix it
    ├── TrainingError     a model that cannot be built or trained as asked
    │   └── UnsuitableError   by this trainer, though another may
    ├── JournalError      a study's journal that cannot be read or belongs to another study
    ├── ClusterError      the Ray cluster: not there, not guarded, without room
    ├── TrackingError     the MLflow store or server
    └── PromotionError    a model that cannot be registered, found or served

Only the command line turns these into exit codes. Any other exception is a bug of ours and
keeps its traceback. None of them tells a password: see `redaction.redact`.
"""

from __future__ import annotations

import errno

from .redaction import redact, shorten

redact_text = redact
MAX_LENGTH = 64_000  # characters of a message
REMEDIES = {
    "make room": (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),  # a disk, a quota, a file's limit
    "allow it to this user": (errno.EACCES, errno.EPERM),
    "mount it so that it can be written to": (errno.EROFS,),
    "raise the limit of open files, or close other programs": (errno.EMFILE, errno.ENFILE),
    "check the disk, or the network to it": (errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
    "choose a shorter name": (errno.ENAMETOOLONG,),
    "move away what has its name": (errno.EISDIR, errno.ENOTDIR, errno.EEXIST),
}


def describe_os_error(error: OSError) -> str:
    """Which file, what the system said of it and what helps, as one sentence.

    Examples:
        >>> describe_os_error(PermissionError(errno.EACCES, "Permission denied", "a.csv"))
        'a.csv: permission denied. Nothing is lost: allow it to this user, and run the same command again.'
    """  # noqa: E501 -- a line of output
    helps = next((text for text, numbers in REMEDIES.items() if error.errno in numbers), None)
    helps = "mend that" if helps is None else helps
    what = error.strerror or str(error) or type(error).__name__
    where = "" if error.filename is None else f"{error.filename}: "
    what = what[0].lower() + what[1:] if where else what
    return f"{where}{what}. Nothing is lost: {helps}, and run the same command again."


class HpsearchError(Exception):
    """A mistake that the user can fix; its text says where and how, and tells no password."""

    def __init__(self, message: str = "", *others: object) -> None:
        super().__init__(redact(shorten(message, MAX_LENGTH)), *others)


class SpecError(HpsearchError):
    """The study's declaration is wrong."""


class DataError(HpsearchError):
    """The data cannot be used as they are."""


class TrainingError(HpsearchError):
    """A model cannot be built or trained as declared."""


class UnsuitableError(TrainingError):
    """This trainer cannot train the model; another may."""


class JournalError(HpsearchError):
    """A study's journal is damaged, locked or belongs to another study."""


class ClusterError(HpsearchError):
    """The Ray cluster cannot be used."""


class TrackingError(HpsearchError):
    """MLflow's store or server cannot be used."""


class PromotionError(HpsearchError):
    """A model cannot be promoted, found or served."""
