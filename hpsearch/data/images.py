"""Read a folder of images by class: one folder per class, with PNG and JPEG files.

Every file is decoded; none is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .image_cells import UNREADABLE, decode_image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
GREY_MODES = ("1", "L")  # Pillow's modes read as one channel
COLOR_MODES = ("P", "RGB", "RGBA", "LA", "CMYK", "YCbCr")  # and as three
MAX_NAMED_FILES = 5  # files named in an error


def is_image_folder(path: Path) -> bool:
    """Whether a folder holds class folders with images."""
    return path.is_dir() and any(
        p.suffix.lower() in IMAGE_SUFFIXES for d in _list_class_folders(path) for p in d.iterdir()
    )


def read_class_folders(folder: Path, size: Sequence[int] | None) -> tuple[np.ndarray, list[str]]:
    """Read the images below a folder and their classes, sorted by class and name.

    Args:
        folder: Holds one folder per class.
        size: (height, width) to resize to; None: all images must have the same size.

    Returns:
        Pixels, (n, height, width, channels) uint8, with one channel if all images are greyscale
        and three (RGB) otherwise; and class names, (n,).

    Raises:
        DataError: Lists folders without an image, other files, images that cannot be decoded and
            differing sizes.
    """
    files, classes = _list_images(folder)
    with ThreadPoolExecutor() as pool:  # Pillow releases the GIL while decoding
        heads = list(pool.map(_read_header, files))
        _refuse_files(
            folder, "cannot be read as images", files, [isinstance(h, str) for h in heads]
        )
        sizes = [head[:2] for head in heads]
        height, width = tuple(size) if size else sizes[0]
        if size is None:
            differ = [s != sizes[0] for s in sizes]
            what = f"are not {height} x {width} like the first; declare data.image_size"
            _refuse_files(folder, what, files, differ)
        mode = "L" if all(head[2] in GREY_MODES for head in heads) else "RGB"
        images = np.empty((len(files), height, width, 1 if mode == "L" else 3), np.uint8)

        def decode(index: int) -> bool:
            pixels = _decode_image(files[index], mode, (height, width))
            if pixels is not None:
                images[index] = pixels.reshape(images.shape[1:])
            return pixels is None

        _refuse_files(folder, "are damaged", files, list(pool.map(decode, range(len(files)))))
    return images, classes


def read_all_images(folder: Path, shape: Sequence[int]) -> tuple[np.ndarray, list[str]]:
    """Read all images below a folder as rows of `shape`, with their paths.

    Raises:
        DataError: If there is no image, or one cannot be decoded.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise DataError(f"{folder}: there is no PNG or JPEG in it")
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise DataError(f"{folder}: the model takes rows of shape {tuple(shape)}, not images")
    images = np.empty((len(files), *shape), np.uint8)
    damaged = []
    for index, path in enumerate(files):
        pixels = _decode_image(path, "L" if shape[2] == 1 else "RGB", (shape[0], shape[1]))
        damaged.append(pixels is None)
        if pixels is not None:
            images[index] = pixels.reshape(shape)
    _refuse_files(folder, "are damaged", files, damaged)
    return images, [p.relative_to(folder).as_posix() for p in files]


def _list_class_folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def _list_images(folder: Path) -> tuple[list[Path], list[str]]:
    """List every image with its class."""
    files: list[Path] = []
    problems, strange = [], []
    for own in _list_class_folders(folder):
        found = sorted(p for p in own.iterdir() if not p.name.startswith("."))
        images = [p for p in found if p.is_file() and p.suffix.lower() in IMAGE_SUFFIXES]
        strange += [p for p in found if p not in images]
        if not images:
            problems.append(f"class folder {own.name!r} holds no PNG or JPEG")
        files += images
    if strange:
        problems.append(
            f"{_format_paths(folder, strange)} are not PNG or JPEG files: take them out"
        )
    if problems:
        raise DataError("; ".join(problems))
    return files, [p.parent.name for p in files]


def _read_header(path: Path) -> Any:
    """Read height, width and mode, or an error message."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode not in (*GREY_MODES, *COLOR_MODES):
                return f"pixels of mode {image.mode}"
            return image.height, image.width, image.mode
    except UNREADABLE as error:
        return str(error)


def _decode_image(path: Path, mode: str, size: tuple[int, int]) -> np.ndarray | None:
    """Decode an image as `decode_image` does; None if it is damaged."""
    try:
        return decode_image(path, mode, size)
    except UNREADABLE:
        return None


def _refuse_files(folder: Path, what: str, files: Sequence[Path], wrong: Sequence[bool]) -> None:
    found = [path for path, is_wrong in zip(files, wrong, strict=True) if is_wrong]
    if found:
        raise DataError(
            f"{len(found)} of {len(files)} images {what}: {_format_paths(folder, found)}"
        )


def _format_paths(folder: Path, paths: Sequence[Path]) -> str:
    names = [p.relative_to(folder).as_posix() for p in paths[:MAX_NAMED_FILES]]
    return ", ".join(names) + (", …" if len(paths) > MAX_NAMED_FILES else "")
