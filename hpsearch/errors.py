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
keeps its traceback. None of them tells a password: see `redacted`.
"""

from __future__ import annotations

import re


def redacted(text: str) -> str:
    """`text` with every password in a URI, and the user name before it, hidden.

    Everything up to the last `@` of a word goes: a password may hold `/`, `?`, `:` and `@`.

    Examples:
        >>> redacted("postgresql://ann:secret@db/runs?password=x")
        'postgresql://***@db/runs?password=***'
    """
    text = re.sub(r"://[^\s'\"<>]*@", "://***@", text)
    secret = r"passw(?:or)?d|passwd|pwd|token|secret|credential|signature|api_?key|access_?key|key"
    return re.sub(rf"(?i)((?:{secret})=)[^&;\s'\"<>]+", r"\1***", text)


class HpsearchError(Exception):
    """A mistake that the user can fix; its text says where and how, and tells no password."""

    def __init__(self, message: str = "", *others: object) -> None:
        super().__init__(redacted(message), *others)


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
