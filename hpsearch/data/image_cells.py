"""Decode the images of a column: paths, encoded files, `data:` addresses or arrays of pixels.

This file is copied beside a served model, as `cells` is.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

try:
    from ..errors import DataError
except ImportError:  # beside a served model
    from hpsearch_cells import DataError  # type: ignore[import-not-found,no-redef]

UNREADABLE = (OSError, ValueError, SyntaxError)  # Pillow raises any of these for a damaged file


def decode_images(cells: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Decode the cells of a column.

    Args:
        cells: A path, the bytes of a PNG or JPEG file, a `data:` address with them in base64, or an
            array of pixels of `shape`, each. Or an Arrow column of bytes of a fixed number, which
            are pixels.
        name: The column, for messages.
        shape: (height, width, channels), to which images are converted.

    Returns:
        Pixels from 0 to 255, (n, height * width * channels) float32; NaN for a missing image.
        Those of an Arrow column are uint8, and not copied.

    Raises:
        DataError: With the row and the path of an image that cannot be read.
    """
    if str(getattr(cells, "type", "")).startswith("fixed_size_binary"):
        return _view_pixels(cells)
    values = cells.to_pylist() if hasattr(cells, "to_pylist") else list(cells)
    pixels = np.empty((len(values), prod(shape)), np.float32)

    def decode(row: int) -> str | None:
        try:
            pixels[row] = _decode_cell(values[row], shape)
        except UNREADABLE as error:
            return f"column {name!r}, row {row + 1}: {describe_image_error(values[row], error)}"
        return None

    with ThreadPoolExecutor() as pool:  # Pillow releases the GIL while decoding
        wrong = [message for message in pool.map(decode, range(len(values))) if message]
    if wrong:
        raise DataError(wrong[0] + (f"; and {len(wrong) - 1} more" if len(wrong) > 1 else ""))
    return pixels


def _view_pixels(cells: Any) -> np.ndarray:
    """View an Arrow column of bytes of a fixed number as (n, n_bytes) uint8."""
    width = cells.type.byte_width
    parts = [
        np.frombuffer(chunk.buffers()[1], np.uint8, len(chunk) * width, chunk.offset * width)
        for chunk in cells.chunks
        if len(chunk)
    ]
    flat = parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.uint8), *parts])
    return flat.reshape(-1, width)


def get_image_mode(shape: Sequence[int]) -> str:
    """Return Pillow's mode of images of `shape`."""
    return "L" if shape[2] == 1 else "RGB"


def is_missing_image(cell: Any) -> bool:
    """Whether a cell holds no image."""
    return cell is None or (isinstance(cell, float) and cell != cell) or cell in ("", b"")


def describe_image_error(cell: Any, error: Exception) -> str:
    """Explain why a cell is no image, with its path if it has one."""
    where = f"{str(cell)[:100]}: " if isinstance(cell, str | Path) else ""
    if isinstance(error, FileNotFoundError):
        return f"{where}there is no such file"
    return f"{where}not readable as an image ({str(error)[:100] or type(error).__name__})"


def _decode_cell(cell: Any, shape: tuple[int, ...]) -> Any:
    """Return the pixels of a cell, flat; NaN if it is missing."""
    if isinstance(cell, np.ndarray | list):
        return _check_pixels(np.asarray(cell), shape)
    if is_missing_image(cell):
        return np.nan
    if isinstance(cell, str) and cell.startswith("data:"):
        cell = base64.b64decode(cell.partition(",")[2], validate=True)
    file = io.BytesIO(cell) if isinstance(cell, bytes) else Path(cell)
    return decode_image(file, get_image_mode(shape), shape[:2]).ravel()


def _check_pixels(pixels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if pixels.shape != shape or pixels.dtype.kind not in "biuf":
        raise ValueError(f"an array of shape {pixels.shape}, expected {shape} from 0 to 255")
    return pixels.ravel()


def decode_image(file: Any, mode: str, size: Sequence[int]) -> np.ndarray:
    """Decode an image file, (height, width) or (height, width, 3) uint8.

    Of numbers of 16 bits, the upper 8 are used, as TensorFlow does.

    Raises:
        OSError, ValueError, SyntaxError: If it is damaged or no image.
    """
    from PIL import Image

    try:
        with Image.open(file) as image:
            image.load()
            decoded = _reduce_depth(image).convert(mode)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from None
    if (decoded.height, decoded.width) != tuple(size):
        decoded = decoded.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(decoded)


def _reduce_depth(image: Any) -> Any:
    """Return an image of 8 bits per channel; `convert` would make all larger numbers white."""
    from PIL import Image

    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode}; 8 or 16 bits are read")
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
