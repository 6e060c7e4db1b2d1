"""Rename a study: its folder, its run in MLflow, and the versions of its model.

The journal records the name and keeps its first line, so renaming back undoes it. Every step may be
repeated: the same command completes an interrupted renaming.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ... import promotion
from ...errors import HpsearchError, JournalError
from ...events import CURVES, StudyRenamed
from ...history import load_history
from ...journal import Journal
from ...platforms.locks import find_holder
from ...reporting.html import REPORT, write_report
from ...tracking.cursor import SENDING_LOCK, read_upload_states
from ...tracking.store import STUDY_NAME, artifact_location, find_journal, limited_requests
from ...tracking.study_sync import sync_study
from ..start import require_own_folder


@dataclass(frozen=True, slots=True)
class Renaming:
    """The result of renaming a study."""

    journal: Path  # its new folder
    sent: bool  # whether a run in MLflow was renamed; False: no store has the study
    versions: int  # registered versions that now name it


def rename_study(root: Path, study: str, name: str, uri: str) -> Renaming:
    """Rename a study below `root`, and in the store at `uri` if that has it.

    Raises:
        HpsearchError: If the name is not allowed or taken, the study runs or is being sent, or
            there is none.
        TrackingError: If the store does not answer; the same command goes on.
    """
    journal = _move_study(root, study, name)
    if journal.with_name(REPORT).exists():
        write_report(journal)
    if not read_upload_states(journal):
        return Renaming(journal, sent=False, versions=0)
    projection = sync_study(journal, uri, artifact_location(uri, root))
    names = dict.fromkeys(promoted.name for promoted in projection.history.promotions)
    with limited_requests(uri):
        client, run = projection.client, projection.parent
        changed = sum(promotion.name_study_of_versions(client, m, run, name) for m in names)
    return Renaming(journal, sent=True, versions=changed)


def _move_study(root: Path, study: str, name: str) -> Path:
    """Record the name and rename the folder; returns the journal at its new path."""
    if not re.fullmatch(STUDY_NAME, name):
        raise HpsearchError(
            f"{name!r} is not a valid name of a study: up to 100 letters, digits, '.', '_' and "
            "'-', the first a letter or a digit"
        )
    journal, taken = find_journal(root, study), find_journal(root, name)
    if journal is None:
        if taken is not None and study in load_history(taken, without=CURVES).names[:-1]:
            return taken  # interrupted after the folder was renamed
        raise JournalError(f"there is no study {study!r} below {root}")
    folder = journal.parents[1] / name
    if folder.exists():
        raise HpsearchError(f"there is a study {name!r} already: {folder}. Choose another name.")
    if folder.name.casefold() != study.casefold():
        require_own_folder(folder)
    if holder := find_holder(journal.with_name(SENDING_LOCK)):
        raise HpsearchError(f"{study}: {holder} is sending it to MLflow. Wait for it to end.")
    with Journal(journal) as opened:  # refused while the study runs
        opened.append(StudyRenamed(name=name))
        if os.name == "posix":  # Windows renames no folder with an open file
            journal.parent.rename(folder)
    if journal.parent.exists():
        journal.parent.rename(folder)
    (folder / journal.with_suffix(".lock").name).unlink(missing_ok=True)
    return folder / journal.name
