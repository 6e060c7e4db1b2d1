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

from .redaction import redact, shorten

redacted = redact
LONGEST = 64_000  # characters of a message


class HpsearchError(Exception):
    """A mistake that the user can fix; its text says where and how, and tells no password."""

    def __init__(self, message: str = "", *others: object) -> None:
        super().__init__(redact(shorten(message, LONGEST)), *others)


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
