"""Detect damaged files by size and digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ..events import FileDigest


def describe_files(folder: Path) -> dict[str, FileDigest]:
    """Return size and SHA-256 of every file below `folder`, by relative name."""
    return {
        path.relative_to(folder).as_posix(): FileDigest(path.stat().st_size, _sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def find_damaged_files(folder: Path, described: Mapping[str, FileDigest | None]) -> tuple[str, ...]:
    """Return the files in `described` that are missing, empty or changed.

    For a description of None, the file only needs to be non-empty.
    """
    return tuple(name for name, facts in described.items() if not _is_intact(folder / name, facts))


def _is_intact(path: Path, facts: FileDigest | None) -> bool:
    try:
        size = path.stat().st_size
        if facts is None:
            return size > 0
        return size == facts.bytes and _sha256(path) == facts.sha256
    except OSError:
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
