"""Paths and addresses (`s3://`, `https://`) that commands read and write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import click

from ..errors import DataError


@dataclass(frozen=True, slots=True)
class Address(os.PathLike[str]):
    """An address, with the parts of `Path` that commands use."""

    text: str

    def __fspath__(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text

    def as_posix(self) -> str:
        """Return the address."""
        return self.text

    @property
    def name(self) -> str:
        """The last part, such as `rows.parquet`."""
        return PurePosixPath(self.text).name

    @property
    def suffix(self) -> str:
        """The extension, such as `.parquet`."""
        return PurePosixPath(self.text).suffix


Location = Path | Address


class LocationType(click.Path):
    """An argument that is a path or an address."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Location:
        """Return a `Path`, also of a `file://` address, or an `Address`."""
        if isinstance(value, Path | Address):
            return value
        if "://" not in value:
            return Path(value)
        from ..data.addresses import find_scheme, to_local_path  # which import HTTP

        scheme = find_scheme(value)
        if scheme == "file":
            return Path(to_local_path(value))
        return Address(value) if scheme else Path(value)


@contextmanager
def copy_to_file(address: Address) -> Iterator[Path]:
    """Copy what an address holds to a temporary file or folder.

    Raises:
        DataError: If it cannot be read; errors of the block name the address, not the copy.
    """
    from ..data.addresses import copy_address

    with tempfile.TemporaryDirectory(prefix="hpsearch-rows-") as folder:
        try:
            path = copy_address(address.text, Path(folder)).path
        except DataError as error:
            raise DataError(f"{address}: {error}") from None
        try:
            yield path
        except DataError as error:
            raise DataError(str(error).replace(str(path), address.text)) from None


@contextmanager
def new_at_address(address: Address, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield the path of a temporary file, or folder, that is copied to an address at the end.

    Raises:
        DataError: If the address cannot be written, or holds something and `overwrite` is not set.
    """
    from ..data.addresses import require_free_address, write_address

    with tempfile.TemporaryDirectory(prefix="hpsearch-output-") as folder:
        path = Path(folder) / address.name
        try:
            require_free_address(address.text, overwrite=overwrite)
            yield path
            write_address(path, address.text)
        except DataError as error:
            raise DataError(str(error).replace(str(path), address.text)) from None
