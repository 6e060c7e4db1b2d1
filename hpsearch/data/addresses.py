"""Copy files from an address (`s3://`, `gs://`, `abfs://`, `hdfs://`, `https://`) to a folder.

Object stores are opened by `pyarrow.fs` with the credentials that their own tools take from the
environment, and none from the address, which is written into journals. The version of what was read
is the SHA-256 of the files' names and contents.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from ..errors import DataError, holds_secret, redact_text

FILE_SYSTEMS = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")  # that Arrow opens
WEB = ("https", "http")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # as the AWS tools call them
FINAL_SIGNS = ("ACCESS_DENIED", "NO_SUCH", "status 403", "status 404")  # of Arrow's errors
TRIES = 3
WAIT_SECONDS = 1.0  # before the second try; twice as long before the third
TIMEOUT_SECONDS = 60  # without a byte
CHUNK_BYTES = 1 << 20


def find_scheme(location: str) -> str:
    """Return the scheme of an address in lower case; "" for a path."""
    scheme, mark, _ = location.partition("://")
    return scheme.lower() if mark and scheme.isascii() and scheme.isalnum() else ""


def to_local_path(location: str) -> str:
    """Return the path of a `file://` address."""
    from urllib.request import url2pathname

    return url2pathname(urlsplit(location).path)


def copy_address(location: str, folder: Path) -> Path:
    """Copy the file or the folder at an address into `folder`.

    Args:
        location: The address.
        folder: An empty folder.

    Returns:
        The copy, with the name that it has at the address.

    Raises:
        DataError: If the address is not allowed, or cannot be read.
    """
    scheme = find_scheme(location)
    if scheme not in (*FILE_SYSTEMS, *WEB):
        known = ", ".join(f"{s}://" for s in (*FILE_SYSTEMS, "https", "file"))
        raise DataError(f"addresses of {scheme}:// are not read; these are: {known}")
    parts = urlsplit(location)
    if _holds_secret(location):
        raise DataError(
            "an address must hold no login and no signature: give them as the store's own tools "
            "take them, in environment variables or their files"
        )
    name = PurePosixPath(unquote(parts.path)).name or parts.netloc
    for number in range(1, TRIES + 1):
        try:
            if scheme in WEB:
                return _copy_from_web(location, folder / name)
            return _copy_from_store(location, folder / name)
        except (OSError, ValueError) as error:
            if number == TRIES or not _may_pass(error):
                raise DataError(f"it cannot be read: {_describe(error)}") from None
        time.sleep(WAIT_SECONDS * number)
    raise AssertionError("the last try returns or raises")


def _holds_secret(location: str) -> bool:
    """Whether an address holds a login or a signature; `abfs://CONTAINER@ACCOUNT` holds none."""
    if find_scheme(location) in ("abfs", "abfss"):
        location = location.replace("@", "/", 1)
    return "@" in urlsplit(location).netloc or holds_secret(location)


def _may_pass(error: Exception) -> bool:
    """Whether an error may be gone at the next try."""
    if isinstance(error, HTTPError):
        return error.code >= 500 or error.code in (408, 429)
    text = str(error)
    if isinstance(error, FileNotFoundError | PermissionError | ValueError):
        return False
    return not any(
        sign in text for sign in ("ACCESS_DENIED", "NO_SUCH", "status 403", "status 404")
    )


def _describe(error: Exception) -> str:
    return redact_text((str(error).splitlines() or [type(error).__name__])[0])


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


# ---- the web ----


def _copy_from_web(location: str, path: Path) -> Path:
    _refuse_plain_http(location)
    with urlopen(Request(location), timeout=TIMEOUT_SECONDS) as answer:
        _refuse_plain_http(answer.geturl())  # after redirections
        expected = answer.headers.get("Content-Length")
        with path.open("wb") as file:
            shutil.copyfileobj(answer, file, CHUNK_BYTES)
    size = path.stat().st_size
    if expected is not None and size != int(expected):
        raise URLError(f"the answer ended after {size:,} of {int(expected):,} bytes")
    return path


def _refuse_plain_http(location: str) -> None:
    parts = urlsplit(location)
    if parts.scheme.lower() == "http" and parts.hostname not in LOOPBACK:
        raise DataError("http:// is read from this machine alone: give https://")


# ---- object stores ----


def _copy_from_store(location: str, path: Path) -> Path:
    from pyarrow import fs

    system, root = _open_store(location)
    info = system.get_file_info(root)
    if info.type == fs.FileType.File:
        return _copy_file(system, info, path)
    found = [f for f in _list_files(system, root) if f.size]
    if not found:
        raise FileNotFoundError("there is no such file or folder")
    for file in found:
        below = PurePosixPath(file.path).relative_to(root)
        if ".." in below.parts:
            raise ValueError(f"the name {file.path} leads out of its folder")
        (path / below).parent.mkdir(parents=True, exist_ok=True)
        _copy_file(system, file, path / below)
    return path


def _open_store(location: str) -> tuple[Any, str]:
    """Open the file system of an address; S3 at the endpoint that the environment names."""
    from pyarrow import fs

    parts = urlsplit(location)
    if parts.scheme.lower() != "s3":
        system, root = fs.FileSystem.from_uri(location)
        return system, root.rstrip("/")
    options: dict[str, Any] = {
        "connect_timeout": TIMEOUT_SECONDS,
        "request_timeout": TIMEOUT_SECONDS,
    }
    endpoint = next((os.environ[name] for name in S3_ENDPOINTS if os.environ.get(name)), None)
    if endpoint is not None:
        at = urlsplit(endpoint)
        options |= {"endpoint_override": at.netloc, "scheme": at.scheme}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region or endpoint:
        options["region"] = region or "us-east-1"
    return fs.S3FileSystem(**options), f"{parts.netloc}{parts.path}".rstrip("/")


def _list_files(system: Any, root: str) -> Iterator[Any]:
    from pyarrow import fs

    selector = fs.FileSelector(root, recursive=True, allow_not_found=True)
    found = (f for f in system.get_file_info(selector) if f.type == fs.FileType.File)
    yield from sorted(found, key=lambda f: f.path)


def _copy_file(system: Any, info: Any, path: Path) -> Path:
    with system.open_input_stream(info.path, compression=None) as source, path.open("wb") as file:
        shutil.copyfileobj(source, file, CHUNK_BYTES)
    size = path.stat().st_size
    if info.size is not None and size != info.size:
        raise OSError(f"{info.path} ended after {size:,} of {info.size:,} bytes")
    return path
