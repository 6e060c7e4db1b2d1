"""Read the image files that a column of paths names, so that a table contains its images."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..spec.data_spec import DataSpec
from .addresses import find_scheme, to_local_path
from .image_cells import UNREADABLE, describe_image_error, is_missing_image
from .images import IMAGE_SUFFIXES
from .source_table import SourceTable

MAX_NAMED_ROWS = 5  # rows named in an error
EXAMINED_PATHS = 20  # files that must exist for a column to look like images


def embed_images(source: SourceTable, data: DataSpec, folder: Path) -> SourceTable:
    """Replace the paths in each image column by the contents of the files.

    Args:
        source: The table.
        data: The declaration. Paths are relative to the data's own file.
        folder: Base of the data's path.

    Raises:
        DataError: With row and path of a file that is missing or no image.
    """
    names = [name for name, spec in data.columns.items() if spec.kind == "image"]
    if not names:
        return source
    table = _embed_columns(source.table, names, find_image_folder(data.source, folder))
    test = source.test_table
    if test is not None:
        test = _embed_columns(test, names, find_image_folder(data.test_source, folder))
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


def _embed_columns(table: Any, names: Sequence[str], folder: Path) -> Any:
    import pyarrow as pa

    for name in names:
        if name not in table.column_names:
            continue  # reported with the other columns
        if not pa.types.is_string(table[name].type):
            raise DataError(
                f"column {name!r} is declared as kind: image, but holds {table[name].type}: paths "
                "of image files are expected"
            )
        contents = pa.chunked_array([_read_files(table[name].to_pylist(), name, folder)])
        table = table.set_column(table.column_names.index(name), name, contents)
    return table


def _read_files(paths: Sequence[str | None], name: str, folder: Path) -> Any:
    """Read the files of a column, an Arrow array of bytes."""
    import pyarrow as pa

    def read(path: str | None) -> bytes | str:
        if path is None or is_missing_image(path):
            return "no path"
        try:
            content = (folder / path).read_bytes()
            _verify_image(content)
        except UNREADABLE as error:
            return describe_image_error(path, error)
        return content

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(read, paths))
    wrong = [f"row {k + 1}: {what}" for k, what in enumerate(found) if isinstance(what, str)]
    if wrong:
        more = f"; and {len(wrong) - MAX_NAMED_ROWS} more" if len(wrong) > MAX_NAMED_ROWS else ""
        raise DataError(
            f"column {name!r}, {'; '.join(wrong[:MAX_NAMED_ROWS])}{more}. Paths are relative to "
            f"{folder}"
        )
    return pa.array(found, pa.large_binary())


def _verify_image(content: bytes) -> None:
    """Refuse what is no image, or an image without its end.

    Raises:
        OSError, ValueError, SyntaxError: Says why.
    """
    import io

    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        image.load()
