"""Read single files from the web (`https://`; `http://` from this machine alone)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http.client import HTTPException, InvalidURL
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from ..errors import DataError
from .object_stores import CHUNK_BYTES, TIMEOUT_SECONDS, Stamps

SCHEMES = ("https", "http")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SETTLED_SECONDS = 60  # a file changed less long ago may change again in the same second


def copy_web_file(location: str, path: Path) -> None:
    """Copy a file from the web to `path`.

    Raises:
        URLError: If it cannot be read, or is cut off.
    """
    _refuse_plain_http(location)
    with _request(location, "GET") as answer:
        _refuse_plain_http(answer.geturl())  # after redirections
        expected = answer.headers.get("Content-Length")
        with path.open("wb") as file:
            shutil.copyfileobj(answer, file, CHUNK_BYTES)
    size = path.stat().st_size
    if expected is not None and size != int(expected):
        raise URLError(f"the answer ended after {size:,} of {int(expected):,} bytes")


def read_web_stamps(location: str) -> Stamps:
    """Ask a server for the state of a file; empty if its answer cannot tell two versions apart.

    A strong ETag identifies the contents; a date does once it is a minute old (RFC 9110, 8.8.2.2).
    """
    _refuse_plain_http(location)
    try:
        with _request(location, "HEAD") as answer:
            headers = answer.headers
    except HTTPError:  # some servers refuse this request; the copy itself tells what is wrong
        return {}
    tag, changed = headers.get("ETag", ""), headers.get("Last-Modified", "")
    size = f"{headers.get('Content-Length', '?')} bytes"
    if tag and not tag.startswith("W/"):
        return {"": f"{size}, ETag {tag.strip(chr(34))}"}
    return {"": f"{size}, {changed}"} if _is_settled(changed, headers.get("Date", "")) else {}


@contextmanager
def _request(location: str, method: str) -> Iterator[Any]:
    """Open the answer to a request.

    Raises:
        URLError: If there is no answer, or it is cut off while the block reads it.
        ValueError: If the address is none.
    """
    try:
        with urlopen(Request(location, method=method), timeout=TIMEOUT_SECONDS) as answer:
            yield answer
    except InvalidURL as error:
        raise ValueError(str(error)) from None
    except HTTPException as error:
        raise URLError(f"the answer was cut off, or is not HTTP: {error!r}") from None


def _is_settled(changed: Any, now: Any) -> bool:
    try:
        age = parsedate_to_datetime(now) - parsedate_to_datetime(changed)
    except (TypeError, ValueError):
        return False
    return age.total_seconds() >= SETTLED_SECONDS


def _refuse_plain_http(location: str) -> None:
    parts = urlsplit(location)
    if parts.scheme.lower() == "http" and parts.hostname not in LOOPBACK:
        raise DataError("http:// is read from this machine alone: give https://")
