"""Send events that change only the summary of a finished study's run, without MLflow.

A promotion is one such event. `Sender` sends everything else.
"""

from __future__ import annotations

from pathlib import Path

from ..events import CURVES, ModelPromoted, StudyNoted
from ..history import History, load_history
from ..journal import read_page, redacted_text
from . import mlflow_layout
from .artifact_queue import Artifact, ArtifactQueue
from .cursor import Cursor, Position, UploadState
from .registry_database import EntryMissingError
from .store_database import RunRow, StoreDatabase, open_store_database
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
        run = _find_run(store, history, held)
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


def _find_run(store: StoreDatabase, history: History, held: UploadState) -> RunRow | None:
    """Return the run of a finished study, if it holds the journal up to the acknowledged line."""
    try:
        run = store.get_run(held.run)
    except EntryMissingError:
        return None
    is_active = run.info.lifecycle_stage == "active" and run.info.status == "FINISHED"
    is_ours = run.data.tags.get(mlflow_layout.KEY_TAG) == history.key
    is_sent = run.data.tags.get(mlflow_layout.SENT_TAG) == str(held.position)
    return run if history.final is not None and is_active and is_ours and is_sent else None
