"""Copy files from and to an address (`s3://`, `gs://`, `abfs://`, `hdfs://`, `https://`).

No credentials are taken from the address, which is written into journals. The version of what was
read is the SHA-256 of the files' names and contents.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ..errors import DataError, first_line, holds_secret
from . import object_stores, web_files
from .object_stores import CHUNK_BYTES, Stamps, StoredFiles
from .request_retries import TRIES, retry

ROOM_LEFT = 1 << 30  # bytes that a copy leaves free on the disk


@dataclass(frozen=True, slots=True)
class AddressCopy:
    """A copy of a file or a folder, and the state of its address."""

    path: Path  # a file or a folder, with the name that it has at the address
    stamps: Stamps  # its state there; empty: unknown


def find_scheme(location: str) -> str:
    """Return the scheme of an address in lower case; "" for a path."""
    scheme, mark, _ = location.partition("://")
    return scheme.lower() if mark and scheme.isascii() and scheme.isalnum() else ""


def to_local_path(location: str) -> str:
    """Return the path of a `file://` address."""
    from urllib.request import url2pathname

    return url2pathname(urlsplit(location).path)


def copy_address(location: str, folder: Path) -> AddressCopy:
    """Copy the file or the folder at an address into `folder`, which is empty.

    Raises:
        DataError: If the address is not allowed, cannot be read, or does not come to rest.
    """
    _require_readable(location)
    parts = urlsplit(location)
    path = folder / (PurePosixPath(unquote(parts.path)).name or parts.netloc)
    with _explain_errors("it cannot be read"):
        before = read_stamps(location)
        for _ in range(TRIES):
            if find_scheme(location) in web_files.SCHEMES:
                retry(lambda: web_files.copy_web_file(location, path))
            else:
                _copy_stored_files(object_stores.find_stored_files(location), path)
            after = read_stamps(location)
            if before == after:
                return AddressCopy(path, after)
            before = after
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    raise DataError(f"it changed while it was read, {TRIES} times: wait until it is written")


def read_stamps(location: str) -> Stamps:
    """Ask an address for the state of its files; empty if it cannot tell two versions apart.

    Raises:
        DataError: If the address is not allowed, or cannot be read.
    """
    _require_readable(location)
    with _explain_errors("it cannot be read"):
        if find_scheme(location) in web_files.SCHEMES:
            return retry(lambda: web_files.read_web_stamps(location))
        return object_stores.find_stored_files(location).read_stamps()


def require_free_address(location: str, *, overwrite: bool) -> None:
    """Refuse an address that cannot be written, or where something would be lost.

    Raises:
        DataError: Says why, and what to do.
    """
    _require_readable(location)
    if find_scheme(location) in web_files.SCHEMES:
        raise DataError(f"{location}: files are written to object stores, not to the web: s3://…")
    with _explain_errors(f"{location}: it cannot be written"):
        if not overwrite and retry(lambda: object_stores.exists_in_store(location)):
            raise DataError(f"{location} exists: name another, or replace it with --overwrite")


def write_address(path: Path, location: str) -> None:
    """Copy a file or a folder to an address of an object store.

    Raises:
        DataError: If it cannot be written; a file that arrives incomplete is removed there.
    """
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        below = file.relative_to(path).as_posix()
        target = location if file == path else f"{location.rstrip('/')}/{below}"
        with _explain_errors(f"{target}: it cannot be written"):
            retry(partial(object_stores.write_stored_file, file, target))


def _copy_stored_files(files: StoredFiles, path: Path) -> None:
    free = shutil.disk_usage(path.parent).free
    if files.size + ROOM_LEFT > free:
        raise DataError(
            f"it holds {files.size / 1e9:,.1f} GB, and {path.parent} has {free / 1e9:,.1f} GB free"
        )
    files.copy(path)


def _require_readable(location: str) -> None:
    """Refuse the address of an unknown kind, or with a secret."""
    if find_scheme(location) not in (*object_stores.SCHEMES, *web_files.SCHEMES):
        known = ", ".join(f"{s}://" for s in (*object_stores.SCHEMES, "https", "file"))
        raise DataError(f"addresses of {find_scheme(location)}:// are not read; these are: {known}")
    if _holds_secret(location):
        raise DataError(
            "an address must hold no login and no signature: give them as the store's own tools "
            "take them, in environment variables or their files"
        )


def _holds_secret(location: str) -> bool:
    """Whether an address holds a login or a signature; `abfs://CONTAINER@ACCOUNT` holds none."""
    if find_scheme(location) in ("abfs", "abfss"):
        location = location.replace("@", "/", 1)
    return "@" in urlsplit(location).netloc or holds_secret(location)


@contextmanager
def _explain_errors(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise DataError(f"{what}: {first_line(error)}") from None


def compute_version(path: Path) -> str:
    """Compute the version of a copied file or folder: the SHA-256 of names and contents."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        name = file.relative_to(path).as_posix() if file != path else ""
        digest.update(f"{name}\n{file.stat().st_size}\n".encode())
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
    return f"sha256 {digest.hexdigest()}"
