"""Decoded images of a column, in a folder beside the studies.

A copy holds the pixels of all rows as bytes. Its name has a digest of the files, the size and
Pillow's version, so that images are decoded once, and one of the pixels, so that a damaged copy is
made again.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import numpy as np

from .address_cache import DRAFT

FOLDER = "images"  # below the folder of copies
MAX_COPIES = 8  # those used least recently are removed
KEY_LENGTH = 16
DECODER = 2  # raised when `image_cells.decode_image` gives other pixels for a file


def load_pixels(
    digests: Sequence[str],
    shape: tuple[int, ...],
    decode: Callable[[], np.ndarray],
    folder: Path | None,
) -> np.ndarray:
    """Map the copy of a column's pixels, or decode the images and keep one.

    Args:
        digests: Of the files, row by row.
        shape: Of an image, (height, width, channels).
        decode: Returns the pixels, (n, n_pixels) uint8.
        folder: The folder of the copies; None: none is kept.
    """
    if folder is None:
        return decode()
    known = [f"{shape} decoder {DECODER} pillow {metadata.version('pillow')}", *digests]
    key = hashlib.sha256("\n".join(known).encode()).hexdigest()[:KEY_LENGTH]
    for path in folder.glob(f"{key}-*.npy"):
        with suppress(OSError, ValueError):
            pixels: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
            if path.stem == f"{key}-{_compute_digest(pixels)}":
                os.utime(path)
                return pixels
    pixels = decode()
    folder.mkdir(parents=True, exist_ok=True)
    _write_array(pixels, folder / f"{key}-{_compute_digest(pixels)}.npy")
    for old in list_copies(folder)[MAX_COPIES:]:
        with suppress(OSError):  # Windows: a running study maps it
            old.unlink()
    return pixels


def list_copies(folder: Path) -> list[Path]:
    """List the copies, those used most recently first."""
    found: list[tuple[float, Path]] = []
    for path in folder.glob("*.npy"):
        with suppress(FileNotFoundError):  # another study has removed it
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


def _compute_digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()[:KEY_LENGTH]


def _write_array(pixels: np.ndarray, path: Path) -> None:
    handle, draft = tempfile.mkstemp(prefix=DRAFT, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, pixels, allow_pickle=False)
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
