"""Copies of what addresses hold, in a folder beside the studies.

Each copy is a folder `ADDRESS/VERSION` of digests with the files and `copy.json`. An address that a
study has read before is not asked again while its copy is here; otherwise the copy is used if the
state of the address (size, time, ETag, version id) is that of the copy. The address itself is not
recorded: it may come from a variable whose value is kept out of files, or hold a signature.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from .addresses import compute_version, copy_address, read_stamps
from .object_stores import TAGS, Stamps

logger = logging.getLogger("hpsearch.data")

MAX_BYTES = 20 * 1000**3  # of all copies; those read least recently are removed
DRAFT = "draft-"
DRAFT_SECONDS = 24 * 3600  # after which a draft was left by a process that died
RECORD = "copy.json"
FILES = "files"  # holds the file or folder, with the name that it has at the address
KEY_LENGTH = 16


@dataclass(frozen=True, slots=True)
class CachedCopy:
    """A copy of the file or the folder at an address."""

    folder: Path  # holds the copy and its record
    digest: str  # `compute_version` of the copy
    stamps: Stamps  # of the address when it was copied

    @property
    def path(self) -> Path:
        """The copied file or folder."""
        (path,) = (self.folder / FILES).iterdir()
        return path

    @property
    def version(self) -> str:
        """The version to record: the digest, and the tags of a single file."""
        tags = [part for part in self.stamps.get("", "").split(", ") if part.startswith(TAGS)]
        return ", ".join([self.digest, *tags])

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())

    @property
    def last_read(self) -> float:
        """Seconds since the epoch."""
        return (self.folder / RECORD).stat().st_mtime

    def is_of(self, location: str) -> bool:
        """Whether it is a copy of what this address holds or held."""
        return self.folder.parent.name == _make_key(location)


def has_digest(version: str, digest: str) -> bool:
    """Whether a recorded version is that of a digest."""
    return version.split(",")[0] == digest


@contextmanager
def open_address(location: str, version: str, cache: Path | None) -> Iterator[CachedCopy]:
    """Return a copy of what an address holds while the block runs.

    Args:
        location: The address.
        version: The version that the study has read before; "": none.
        cache: The folder of the copies; None: the copy is deleted after the block.

    Raises:
        DataError: If the address cannot be read, or holds another version.
    """
    with tempfile.TemporaryDirectory(prefix="hpsearch-source-") as folder:
        folder_of_copies = cache or Path(folder)
        copy = _find_copy(location, version, folder_of_copies)
        if copy is None:
            copy = _add_copy(location, folder_of_copies)
        else:
            logger.info("%s is read from %s", location, copy.folder)
            os.utime(copy.folder / RECORD)
        if version.startswith("sha256") and not has_digest(version, copy.digest):
            raise DataError(_describe_change(version, copy.version))
        try:
            yield copy
        finally:
            remove_old_copies(folder_of_copies)


def _describe_change(before: str, now: str) -> str:
    return (
        f"it has changed since the study began ({_shorten(before)} then, {_shorten(now)} now), and "
        "mlruns/sources no longer holds what it was: restore the earlier data, or start over with "
        "--fresh"
    )


def _shorten(version: str) -> str:
    digest, *tags = version.split(", ")
    return ", ".join([digest[: len("sha256 ") + 12], *tags])


def _find_copy(location: str, version: str, cache: Path) -> CachedCopy | None:
    """Find the copy of a version, or of what the address holds now; None: it must be copied."""
    copies = [c for c in list_copies(cache) if c.is_of(location)]
    if not copies:
        return None
    known = [c for c in copies if has_digest(version, c.digest)]
    if not known:
        stamps = read_stamps(location)
        known = [c for c in copies if stamps and c.stamps == stamps]
    for copy in known:
        with suppress(OSError, ValueError):
            if compute_version(copy.path) == copy.digest:
                return copy
        logger.warning("%s is damaged, and is read from its address again", copy.folder)
        shutil.rmtree(copy.folder, ignore_errors=True)
    return None


def _add_copy(location: str, cache: Path) -> CachedCopy:
    cache.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=cache))
    try:
        (draft / FILES).mkdir()
        made = copy_address(location, draft / FILES)
        digest = compute_version(made.path)
        text = json.dumps({"digest": digest, "stamps": dict(made.stamps)}, indent=1)
        (draft / RECORD).write_text(text, encoding="utf-8")
        folder = cache / _make_key(location) / _make_key(digest)
        folder.parent.mkdir(exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)  # the same contents with other stamps
        with suppress(OSError):  # another study has just copied it: its copy is as good
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return CachedCopy(folder, digest, made.stamps)


def _make_key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


def list_copies(cache: Path) -> list[CachedCopy]:
    """List the copies, those read most recently first."""
    found = []
    for path in cache.glob(f"*/*/{RECORD}"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads(path.read_text(encoding="utf-8"))
            found.append(CachedCopy(path.parent, **record))
    return sorted(found, key=lambda copy: copy.last_read, reverse=True)


def remove_old_copies(cache: Path) -> None:
    """Remove the copies beyond `MAX_BYTES`, and drafts of processes that died."""
    total = 0
    for copy in list_copies(cache):
        total += copy.size
        if total > MAX_BYTES:
            logger.info("%s is removed for room", copy.folder)
            shutil.rmtree(copy.folder, ignore_errors=True)
    for draft in cache.glob(f"{DRAFT}*"):
        with suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > DRAFT_SECONDS:
                shutil.rmtree(draft, ignore_errors=True)
