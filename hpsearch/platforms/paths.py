"""Portable paths and names."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from pathlib import Path, PurePath

# Device names on Windows, with any extension.
RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"{device}{n}" for device in ("com", "lpt") for n in range(10))}
)
DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def starts_with_drive(text: str) -> bool:
    r"""Whether a text is a path such as `C:\data` or `C:/data`, which looks like a scheme."""
    return DRIVE.match(text) is not None


def explain_unportable(name: str) -> str | None:
    """Explain why a name is invalid on some platform; None if it is portable."""
    if name.partition(".")[0].lower() in RESERVED:
        return "Windows keeps this name for a device"
    if name.endswith((".", " ")):
        return "Windows drops a dot or a space at the end of a name"
    return None


def find_similar(folder: Path, name: str) -> str | None:
    """Find a name in `folder` that macOS or Windows treats as equal to `name`.

    Returns None if `name` itself exists.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return None
    if name in names:
        return None
    return next((other for other in names if _fold_case(other) == _fold_case(name)), None)


def _fold_case(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def sqlite_uri(path: PurePath) -> str:
    """Return the SQLAlchemy URI of an absolute path.

    Examples:
        >>> from pathlib import PurePosixPath, PureWindowsPath
        >>> sqlite_uri(PurePosixPath("/data/mlflow.db"))
        'sqlite:////data/mlflow.db'
        >>> sqlite_uri(PureWindowsPath("C:/data/mlflow.db"))
        'sqlite:///C:/data/mlflow.db'
    """
    return f"sqlite:///{path.as_posix()}"


def artifact_uri(path: PurePath) -> str:
    """Return MLflow's form of an absolute folder: a path, or a URI if the path has a drive.

    Examples:
        >>> from pathlib import PurePosixPath, PureWindowsPath
        >>> artifact_uri(PurePosixPath("/data/artifacts"))
        '/data/artifacts'
        >>> artifact_uri(PureWindowsPath("C:/data/artifacts"))
        'file:///C:/data/artifacts'
    """
    return path.as_uri() if path.drive else str(path)


def relative_to(path: Path, start: Path) -> str:
    """Return `path` relative to `start`, with slashes; absolute if on another drive."""
    try:
        return Path(os.path.relpath(path, start)).as_posix()
    except ValueError:
        if sys.platform != "win32":
            raise
        return path.resolve().as_posix()
