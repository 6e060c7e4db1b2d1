"""The exception hierarchy: errors that a user's input, files or servers can cause.

    HpsearchError
    ├── SpecError         the study file: every problem with its line
    ├── DataError         the data: location, what was found, how to fix it
    ├── TrainingError     a model that cannot be built or trained as declared
    │   ├── UnsuitableError   by this trainer, though perhaps by the other
    │   └── DeviceLostError   because the accelerator no longer answers
    ├── JournalError      a journal that is damaged, locked or of another study
    ├── ClusterError      the Ray cluster: unreachable, without a token, without resources
    ├── TrackingError     the MLflow store or server
    └── PromotionError    a model that cannot be promoted, found or served

Only the command line converts these to exit codes. Any other exception is a bug in hpsearch and
keeps its traceback. Their messages are redacted: see `redaction.redact`.
"""

from __future__ import annotations

import errno

from .escaping import escape_terminal
from .redaction import has_secret, redact, shorten

redact_text = redact
holds_secret = has_secret
MAX_LENGTH = 64_000  # characters of a message
REMEDIES = {
    "make room": (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),  # full disk, quota, file size limit
    "allow it to this user": (errno.EACCES, errno.EPERM),
    "mount it so that it can be written to": (errno.EROFS,),
    "raise the limit of open files, or close other programs": (errno.EMFILE, errno.ENFILE),
    "check the disk, or the network to it": (errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
    "choose a shorter name": (errno.ENAMETOOLONG,),
    "move away what has its name": (errno.EISDIR, errno.ENOTDIR, errno.EEXIST),
}


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without secrets."""
    return redact_text((str(error).strip().splitlines() or [type(error).__name__])[0])


def describe_os_error(error: OSError) -> str:
    """Describe an operating-system error: the file, the reason and the remedy.

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
    """An error that the user can fix; the message says where and how, and is redacted."""

    def __init__(self, message: str = "", *others: object) -> None:
        super().__init__(redact(shorten(message, MAX_LENGTH)), *others)

    def _render_traceback_(self) -> list[str]:
        """Show only the message in a notebook; the traceback would list hpsearch's own files."""
        return [f"{type(self).__name__}: {escape_terminal(self)}"]


class SpecError(HpsearchError):
    """The study's declaration is invalid."""


class UnconfirmedChangesError(SpecError):
    """A study's declaration has changed, and it can continue if the user agrees."""


class DataError(HpsearchError):
    """The data cannot be used in their present form."""


class TrainingError(HpsearchError):
    """A model cannot be built or trained as declared."""


class UnsuitableError(TrainingError):
    """This trainer cannot train the model; another may be able to."""


class DeviceLostError(TrainingError):
    """The accelerator no longer answers: another process may find it again, this one will not."""


class JournalError(HpsearchError):
    """A study's journal is damaged, locked or belongs to another study."""


class ClusterError(HpsearchError):
    """The Ray cluster cannot be used."""


class TrackingError(HpsearchError):
    """MLflow's store or server cannot be used."""


class PromotionError(HpsearchError):
    """A model cannot be promoted, found or served."""
