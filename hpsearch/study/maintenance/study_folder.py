"""Check the files of a study's folder and its parent folders, without changing anything.

The contents of the journal are not checked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...history import History
from ...platforms.files import DRAFT
from ..file_integrity import find_damaged_files

# Folders in a study's folder.
FOLDERS = ("checkpoints", "final", "fit", "logs", "plots", "predictions")
# Files in it; a folder may exist under one of these names.
ENDINGS = {
    ".ckpt",
    ".diff",
    ".html",
    ".json",
    ".jsonl",
    ".keras",
    ".lock",
    ".log",
    ".npy",
    ".npz",
    ".png",
}


def find_wrong_folders(mlruns: Path) -> Iterator[str]:
    """Describe each path that should be a folder and is not usable as one."""
    studies = mlruns / "studies"
    named = (p for p in sorted(studies.glob("*")) if not p.suffix)
    for path in (mlruns, studies, mlruns / "artifacts", *named):
        if wrong := _explain_folder(path):
            yield f"{path} {wrong}"


def find_wrong_files(folder: Path, history: History) -> Iterator[str]:
    """Describe each file that needs to be fixed."""
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
    """Explain why a folder cannot be created or written; "" if it can."""
    if not path.exists():
        return ""
    if not path.is_dir():
        return "is a file, where a folder belongs: move it away"
    is_open = os.access(path, os.R_OK | os.W_OK | os.X_OK)
    return "" if is_open else "is a folder that cannot be read and written"


def _explain_entry(path: Path) -> str:
    """Describe a problem of a file or folder apart from its contents."""
    if path.is_symlink() and not path.exists():
        return f"is a link to {os.readlink(path)}, which is not there"
    if path.is_dir():
        return "is a folder, where a file belongs: move it away" if path.suffix in ENDINGS else ""
    needs = os.R_OK | os.W_OK if path.suffix in (".jsonl", ".lock", ".log") else os.R_OK
    return "" if os.access(path, needs) else "cannot be read, or not be written"
