"""Locate the journal of a named study below the working folder."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import JournalError
from ..tracking import store
from ..tracking.store import STUDY_NAME, journal_path, study_folder

TRIAL = re.compile(r"(?:trial-)?[0-9]{1,9}|best")


def find_journal(study: str) -> Path | None:
    """Find the journal of a study; None if it does not exist."""
    return store.find_journal(Path.cwd(), study)


def list_journals() -> list[Path]:
    """Return the journals of this folder's studies, the last modified first."""
    journals = store.list_journals(Path.cwd())
    return sorted(journals, key=lambda journal: journal.stat().st_mtime, reverse=True)


def newest_study() -> str | None:
    """Return the name of the study whose journal was modified last."""
    return next((journal.parent.name for journal in list_journals()), None)


def journal_or_newest(study: str | None) -> Path:
    """Return the journal of a study, or of the newest if none is named.

    Raises:
        JournalError: If the study, or any study, does not exist.
    """
    return require_journal(study or newest_study() or "_")


def split_study_and_trials(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    """Split the arguments `[STUDY] TRIAL...` into a journal and trials.

    The first argument is a study if one has that name, or if it does not look like a trial. Without
    a study, `5` and `best` are trials of the newest one.

    Raises:
        JournalError: If there is no such study.
        UsageError: If another argument does not look like a trial.
    """
    first, *rest = arguments or [""]
    if first and TRIAL.fullmatch(first) and not (rest and find_journal(first)):
        first, rest = "", list(arguments)
    for trial in rest:
        if not TRIAL.fullmatch(trial):
            raise click.UsageError(f"{trial!r} is not a trial: give a number, trial-NUMBER or best")
    return journal_or_newest(first), rest


def require_journal(study: str) -> Path:
    """Return the journal of a study.

    Raises:
        JournalError: If the study does not exist; lists the existing ones.
    """
    folder = study_folder(Path.cwd(), "_").parent
    known = [journal.parent.name for journal in store.list_journals(Path.cwd())]
    if study == "_" and not known:
        raise JournalError(f"there is no study below {folder} yet. Run one: hpsearch tune SPEC")
    if not re.fullmatch(STUDY_NAME, study) or study not in known:
        close = difflib.get_close_matches(study, known, 1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        listed = f" Known: {', '.join(known)}." if known else " There is none yet: hpsearch tune."
        raise JournalError(f"there is no study {study!r} below {folder}.{hint}{listed}")
    return journal_path(Path.cwd(), study)
