"""Send events that change only the summary of a finished study's run, without MLflow.

A promotion is one such event. `Sender` sends everything else.
"""

from __future__ import annotations

from pathlib import Path

from ..events import CURVES, ModelPromoted, StudyNoted
from ..history import load_history
from ..journal import read_page, redacted_text
from . import mlflow_layout
from .artifact_queue import Artifact, ArtifactQueue
from .cursor import Cursor, Position, UploadState
from .store_database import open_store_database
from .stored_study import find_finished_run
from .study_note import render_study_note

IN_SUMMARY_ALONE = (ModelPromoted, StudyNoted)


def update_summary(journal: Path, uri: str) -> bool:
    """Send the last events of a journal if they change only the summary of the study's run.

    Returns:
        False if the store needs more than that, or only MLflow can write to it.

    Raises:
        TrackingError: If another process is sending this journal, or the database is damaged.
    """
    store = open_store_database(uri)
    if store is None or redacted_text(journal) is not None:
        return False
    cursor = Cursor(journal, uri)
    try:
        history = load_history(journal, without=CURVES)
        held = cursor.load(history.key)
        page = read_page(journal, held.position.offset)
        run = find_finished_run(store, history, held)
        if run is None or not all(isinstance(event, IN_SUMMARY_ALONE) for event in page.events):
            return False
        position = Position.at_offset(journal, page.end)
        sent_file = Artifact(run.info.run_id, journal.name, journal)
        ArtifactQueue(store, journal.parent).upload(sent_file)
        note = {"mlflow.note.content": mlflow_layout.tag_value(render_study_note(history))}
        sent = {mlflow_layout.SENT_TAG: str(position)}
        store.set_tags(run.info.run_id, note | mlflow_layout.outcome_tags(history) | sent)
        cursor.save(history.key, UploadState(position, held.run, held.refused))
    finally:
        cursor.close()
    return True
