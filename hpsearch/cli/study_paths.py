"""Where a named study lies below the working folder."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from ..errors import JournalError
from ..tracking.store import journal_path, study_folder

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"


def find_journal(study: str) -> Path | None:
    """The journal of a study; None where this folder has none."""
    known = re.fullmatch(NAME, study) and journal_path(Path.cwd(), study)
    return known if known and known.exists() else None


def newest_study() -> str | None:
    """The name of the study of this folder whose journal was written last."""
    folder = study_folder(Path.cwd(), "_").parent
    journals = sorted(folder.glob("*/journal.jsonl"), key=lambda path: path.stat().st_mtime)
    return journals[-1].parent.name if journals else None


def require_journal(study: str) -> Path:
    """The journal of a study.

    Raises:
        JournalError: If there is no such study; it names those there are.
    """
    folder = study_folder(Path.cwd(), "_").parent
    known = sorted(p.parent.name for p in folder.glob("*/journal.jsonl"))
    if not re.fullmatch(NAME, study) or study not in known:
        close = difflib.get_close_matches(study, known, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        listed = f" Known: {', '.join(known)}." if known else " There is none yet: hpsearch tune."
        raise JournalError(f"there is no study {study!r} below {folder}.{hint}{listed}")
    return journal_path(Path.cwd(), study)
