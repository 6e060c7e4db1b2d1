"""Read the image files that a column of paths names, so that a table contains its images."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .addresses import find_scheme, to_local_path
from .column_inference import find_image_shape
from .image_cells import (
    UNREADABLE,
    decode_image,
    describe_image_error,
    get_image_mode,
    is_missing_image,
)
from .image_copies import FOLDER, load_pixels
from .images import IMAGE_SUFFIXES
from .source_table import SourceTable

MAX_NAMED_ROWS = 5  # rows named in an error
EXAMINED_PATHS = 20  # files that must exist for a column to look like images


def embed_images(
    source: SourceTable, data: DataSpec, folder: Path, cache: Path | None
) -> SourceTable:
    """Replace the paths in each image column by pixels: bytes of a fixed number each.

    Args:
        source: The table.
        data: The declaration. Paths are relative to the data's own file.
        folder: Base of the data's path.
        cache: The folder of copies, which holds the decoded images; None: they are not kept.

    Raises:
        DataError: With row and path of a file that is missing or no image.
    """
    shapes = {n: find_image_shape(c) for n, c in data.columns.items() if c.kind == "image"}
    if not shapes:
        return source
    copies = None if cache is None else cache / FOLDER
    table = _embed_columns(source.table, shapes, find_image_folder(data.source, folder), copies)
    test = source.test_table
    if test is not None:
        base = find_image_folder(data.test_source, folder)
        test = _embed_columns(test, shapes, base, copies)
    return replace(source, table=table, test_table=test)


def find_image_folder(location: Any, folder: Path) -> Path:
    """Return the base of relative paths: the folder of a file, or the study's."""
    if not isinstance(location, str):
        return folder
    if find_scheme(location) == "file":
        location = to_local_path(location)
    path = folder / Path(location).expanduser()
    if path.is_dir():
        return path
    return path.parent if path.parent.is_dir() else folder


def resolve_paths(table: Any, names: Sequence[str], folder: Path) -> Any:
    """Make the relative paths in some columns of an Arrow table absolute."""
    import pyarrow as pa

    for name in names:
        cells = [
            cell if is_missing_image(cell) or cell.startswith("data:") else str(folder / cell)
            for cell in table[name].to_pylist()
        ]
        table = table.set_column(table.column_names.index(name), name, pa.array(cells, pa.string()))
    return table


def are_image_paths(texts: Sequence[str], folder: Path) -> bool:
    """Whether texts are paths of existing image files."""
    named = all(text.lower().endswith(IMAGE_SUFFIXES) for text in texts)
    return named and bool(texts) and all((folder / t).is_file() for t in texts[:EXAMINED_PATHS])


def _embed_columns(
    table: Any, shapes: Mapping[str, tuple[int, ...]], base: Path, copies: Path | None
) -> Any:
    import pyarrow as pa

    for name, shape in shapes.items():
        if name not in table.column_names:
            continue  # reported with the other columns
        if not pa.types.is_string(table[name].type):
            raise DataError(
                f"column {name!r} is declared as kind: image, but holds {table[name].type}: paths "
                "of image files are expected"
            )
        column = _ImageColumn(name, table[name].to_pylist(), base, shape)
        pixels = load_pixels(column.compute_digests(), shape, column.decode, copies)
        cells = pa.Array.from_buffers(
            pa.binary(pixels.shape[1]), len(pixels), [None, pa.py_buffer(pixels)]
        )
        table = table.set_column(table.column_names.index(name), name, pa.chunked_array([cells]))
    return table


@dataclass(frozen=True, slots=True)
class _ImageColumn:
    """The files of a column."""

    name: str
    paths: Sequence[str | None]
    base: Path  # of relative paths
    shape: tuple[int, ...]  # to which images are decoded

    def compute_digests(self) -> list[str]:
        """Compute the SHA-256 of each file.

        Raises:
            DataError: With row and path of a file that cannot be read.
        """
        return self._map_files(lambda row, content: hashlib.sha256(content).hexdigest())

    def decode(self) -> np.ndarray:
        """Decode the files, (n, n_pixels) uint8.

        Raises:
            DataError: With row and path of a file that is no image.
        """
        pixels = np.empty((len(self.paths), prod(self.shape)), np.uint8)
        mode = get_image_mode(self.shape)

        def decode(row: int, content: bytes) -> str:
            pixels[row] = decode_image(io.BytesIO(content), mode, self.shape[:2]).ravel()
            return ""

        self._map_files(decode)
        return pixels

    def _map_files(self, use: Callable[[int, bytes], str]) -> list[str]:
        def read(row: int) -> tuple[str, str]:
            """Return the result and an error, of which one is empty."""
            path = self.paths[row]
            if path is None or is_missing_image(path):
                return "", "no path"
            try:
                return use(row, (self.base / path).read_bytes()), ""
            except UNREADABLE as error:
                return "", describe_image_error(path, error)

        with ThreadPoolExecutor() as pool:  # Pillow releases the GIL while decoding
            found = list(pool.map(read, range(len(self.paths))))
        wrong = [f"row {k + 1}: {error}" for k, (_, error) in enumerate(found) if error]
        if wrong:
            n_more = len(wrong) - MAX_NAMED_ROWS
            raise DataError(
                f"column {self.name!r}, {'; '.join(wrong[:MAX_NAMED_ROWS])}"
                f"{f'; and {n_more} more' if n_more > 0 else ''}. Paths are relative to "
                f"{self.base}"
            )
        return [result for result, _ in found]
