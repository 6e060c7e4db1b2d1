"""Tell why Keras cannot load a file: another version wrote it, or it is none of Keras's."""

from __future__ import annotations

import json
import traceback
import zipfile
from contextlib import suppress
from importlib import metadata
from pathlib import Path

METADATA = "metadata.json"  # of a `.keras` file, and of a preset's folder
# Functions of Keras and KerasHub -> their argument for the file or folder.
LOADERS = {"load_model": "filepath", "from_preset": "preset"}


def describe_keras_file(path: Path) -> str:
    """Describe what may be wrong with a `.keras` file or a preset's folder; empty: nothing known.

    Examples:
        "; b.keras was written by Keras 4.2.0, and this is Keras 3.15.1"
    """
    if path.suffix == ".keras" and path.is_file() and not zipfile.is_zipfile(path):
        return f"; {path.name} is no zip archive, as a .keras file is"
    then = _read_version(path)
    now = metadata.version("keras")
    if then in ("", now):
        return ""
    return f"; {path.name} was written by Keras {then}, and this is Keras {now}"


def describe_loaded_file(error: BaseException) -> str:
    """Describe the file or the preset that user code was loading when an error was raised."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        argument = LOADERS.get(frame.f_code.co_name, "")
        path = frame.f_locals.get(argument)
        is_keras = str(frame.f_globals.get("__name__", "")).startswith("keras")
        if is_keras and isinstance(path, str | Path):
            return describe_keras_file(Path(path))
    return ""


def _read_version(path: Path) -> str:
    with suppress(OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        if path.is_dir():
            content = (path / METADATA).read_bytes()
        else:
            with zipfile.ZipFile(path) as archive:
                content = archive.read(METADATA)
        return str(json.loads(content)["keras_version"])
    return ""
