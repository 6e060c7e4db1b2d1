"""Restore the declaration of a study from its journal."""

from __future__ import annotations

from pathlib import Path

from ..events import StudyCreated
from ..spec.study_file import StudyFile, load_dict
from .model_validation import with_model_space


def load_declaration(journal: Path, study: StudyCreated) -> StudyFile:
    """Restore the study file with the recorded defaults and paths.

    Args:
        journal: The study's journal.
        study: The declaration of a revision; see `History.declaration`.

    Raises:
        SpecError: If it is not valid in this version.
    """
    folder = journal.parents[3] / study.folder
    return with_model_space(load_dict(study.resolved or study.spec, folder=folder))
