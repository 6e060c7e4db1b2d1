"""Read and write the files of object stores (`s3://`, `gs://`, `abfs://`, `hdfs://`).

Stores are opened by `pyarrow.fs` with the credentials that their own tools take from the
environment.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from .request_retries import retry

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")  # that Arrow opens
S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # as the AWS tools call them
TIMEOUT_SECONDS = 60  # without a byte
CHUNK_BYTES = 1 << 20
THREADS = 8  # files at once
TAGS = ("ETag", "VersionId")  # in the metadata of a file; they change with its contents

Stamps = Mapping[str, str]  # name below the address, "" for a single file -> its state


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """The file at an address, or the files of a folder."""

    system: Any  # pyarrow.fs.FileSystem
    files: Mapping[str, Any]  # name below the address, "" for a single file -> pyarrow.fs.FileInfo

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(info.size or 0 for info in self.files.values())

    def read_stamps(self) -> Stamps:
        """Read the state of each file: its size, its time and the store's tags."""
        with ThreadPoolExecutor(THREADS) as pool:
            stamps = pool.map(lambda info: _read_stamp(self.system, info), self.files.values())
            return dict(zip(self.files, stamps, strict=True))

    def copy(self, path: Path) -> None:
        """Copy the files to `path`, a file or a folder; each is tried again on its own."""
        targets = [path / name if name else path for name in self.files]
        for folder in {target.parent for target in targets}:
            folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(THREADS) as pool:
            copies = [
                pool.submit(retry, lambda i=info, t=target: _copy_file(self.system, i, t))
                for info, target in zip(self.files.values(), targets, strict=True)
            ]
            try:
                for done in copies:
                    done.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def find_stored_files(location: str) -> StoredFiles:
    """Find the files at an address, sorted by name.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a name leads out of the folder.
    """
    from pyarrow import fs

    system, root = open_store(location)
    info = retry(lambda: system.get_file_info(root))
    if info.type == fs.FileType.File:
        return StoredFiles(system, {"": info})
    selector = fs.FileSelector(root, recursive=True, allow_not_found=True)
    listed = retry(lambda: system.get_file_info(selector))
    found = {}
    for file in sorted(listed, key=lambda f: f.path):
        if file.type != fs.FileType.File or not file.size:
            continue
        below = PurePosixPath(file.path).relative_to(root)
        if ".." in below.parts:
            raise ValueError(f"the name {file.path} leads out of its folder")
        found[below.as_posix()] = file
    if not found:
        raise FileNotFoundError("there is no such file or folder")
    return StoredFiles(system, found)


def write_stored_file(path: Path, location: str) -> None:
    """Copy a file to an address, and remove it there if it arrives incomplete."""
    system, target = open_store(location)
    with path.open("rb") as source, system.open_output_stream(target) as stream:
        shutil.copyfileobj(source, stream, CHUNK_BYTES)
    size, expected = system.get_file_info(target).size, path.stat().st_size
    if size != expected:
        system.delete_file(target)
        raise OSError(f"{size:,} of {expected:,} bytes arrived")


def exists_in_store(location: str) -> bool:
    """Whether there is a file or a folder at an address.

    Raises:
        FileNotFoundError: If there is not even the bucket.
    """
    from pyarrow import fs

    system, root = open_store(location)
    bucket = root.partition("/")[0]  # "": a file system without buckets
    if bucket and system.get_file_info(bucket).type == fs.FileType.NotFound:
        raise FileNotFoundError(f"there is no bucket {bucket}")
    return bool(system.get_file_info(root).type != fs.FileType.NotFound)


def open_store(location: str) -> tuple[Any, str]:
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


def _read_stamp(system: Any, info: Any) -> str:
    def read_tags() -> Mapping[str, bytes]:
        with system.open_input_stream(info.path, compression=None) as stream:
            return stream.metadata() or {}

    tags = retry(read_tags)
    known = [f"{name} {tags[name].decode().strip(chr(34))}" for name in TAGS if name in tags]
    return ", ".join([f"{info.size} bytes", f"{info.mtime_ns} ns", *known])


def _copy_file(system: Any, info: Any, path: Path) -> None:
    with system.open_input_stream(info.path, compression=None) as source, path.open("wb") as file:
        shutil.copyfileobj(source, file, CHUNK_BYTES)
    size = path.stat().st_size
    if info.size is not None and size != info.size:
        raise OSError(f"{info.path} ended after {size:,} of {info.size:,} bytes")
