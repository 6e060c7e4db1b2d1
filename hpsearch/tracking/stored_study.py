"""Read the runs of a finished study from an SQLite store, without MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..history import History
from . import mlflow_layout
from .cursor import Cursor, UploadState
from .registry_database import EntryMissingError
from .store_database import RunRow, StoreDatabase, open_store_database
from .verification import compare_runs


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """The ids of a study in a store that has all of it."""

    experiment_id: str
    parent_run_id: str
    trials: Mapping[int, str]  # number -> id of the run of its last attempt

    def run_id(self, trial: int) -> str | None:
        """Return the run id of a trial's last attempt; None if it has no run."""
        return self.trials.get(trial)


def find_stored_study(journal: Path, uri: str, history: History) -> StoredStudy | None:
    """Find a finished study that a store has completely, as far as a search of its runs shows.

    Returns:
        None if something is missing, refused or deleted, or if only MLflow can read the store.

    Raises:
        TrackingError: If another process is sending this journal, or the database is damaged.
    """
    store = open_store_database(uri)
    if store is None:
        return None
    with closing(Cursor(journal, uri)) as cursor:
        held = cursor.load(history.key)
    run = find_finished_run(store, history, held)
    if run is None or held.refused or held.position.offset != journal.stat().st_size:
        return None
    found = compare_runs(store, run.info.experiment_id, history)
    if found.lacking or found.surplus or found.deleted:
        return None
    trials = {
        number: found.ids[key]
        for number, trial in history.last.items()
        if (key := mlflow_layout.trial_key(history, trial)) in found.ids
    }
    return StoredStudy(run.info.experiment_id, run.info.run_id, trials)


def find_finished_run(store: StoreDatabase, history: History, held: UploadState) -> RunRow | None:
    """Return the run of a finished study if it holds the journal up to the acknowledged line.

    Args:
        store: The store.
        history: Of the study.
        held: The position that is saved beside the journal.
    """
    try:
        run = store.get_run(held.run)
    except EntryMissingError:
        return None
    is_active = run.info.lifecycle_stage == "active" and run.info.status == "FINISHED"
    is_ours = run.data.tags.get(mlflow_layout.KEY_TAG) == history.key
    is_sent = run.data.tags.get(mlflow_layout.SENT_TAG) == str(held.position)
    return run if history.final is not None and is_active and is_ours and is_sent else None
