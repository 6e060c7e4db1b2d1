"""What is wrong with the files of a study's folder and the folders above it; nothing is changed.

What a journal holds is not looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...history import History
from ...platforms.files import DRAFT
from ..file_integrity import find_damaged_files

FOLDERS = ("final", "fit", "logs", "plots", "predictions")  # in a study's folder
# Of the files in it: a folder may have the name of one.
ENDINGS = {".diff", ".html", ".json", ".jsonl", ".keras", ".lock", ".log", ".npy", ".npz", ".png"}


def find_wrong_folders(mlruns: Path) -> Iterator[str]:
    """One sentence about each folder that holds studies or files of runs, and is none."""
    studies = mlruns / "studies"
    named = (p for p in sorted(studies.glob("*")) if not p.suffix)
    for path in (mlruns, studies, mlruns / "artifacts", *named):
        if wrong := _explain_folder(path):
            yield f"{path} {wrong}"


def find_wrong_files(folder: Path, history: History) -> Iterator[str]:
    """One sentence about each thing that is to be mended."""
    for name in FOLDERS:
        if wrong := _explain_folder(folder / name):
            yield f"{name} {wrong}"
    for path in sorted(folder.rglob("*")):
        if DRAFT not in str(path) and (wrong := _explain_entry(path)):
            yield f"{path.relative_to(folder).as_posix()} {wrong}"
    expected = history.final.digests if history.final else None
    if damaged := find_damaged_files(folder / "final", expected or {}):
        shown = ", ".join(damaged[:3]) + (", …" if len(damaged) > 3 else "")
        yield f"damaged or missing in final: {shown}: hpsearch tune creates it again"


def _explain_folder(path: Path) -> str:
    """Why there can be no folder of this name, or nothing be written to it; "" where it can."""
    if not path.exists():
        return ""
    if not path.is_dir():
        return "is a file, where a folder belongs: move it away"
    is_open = os.access(path, os.R_OK | os.W_OK | os.X_OK)
    return "" if is_open else "is a folder that cannot be read and written"


def _explain_entry(path: Path) -> str:
    """What is wrong with a file or folder by what it is, and not by what is in it."""
    if path.is_symlink() and not path.exists():
        return f"is a link to {os.readlink(path)}, which is not there"
    if path.is_dir():
        return "is a folder, where a file belongs: move it away" if path.suffix in ENDINGS else ""
    needs = os.R_OK | os.W_OK if path.suffix in (".jsonl", ".lock", ".log") else os.R_OK
    return "" if os.access(path, needs) else "cannot be read, or not be written"
