"""Deletes predictions of all but the best trials, and orphaned files of studies.

Removes out-of-fold predictions of finished studies, except of the best trials and of those needed
to choose the winner if the study continues (ensemble members, finalists); and hpsearch's runs that
were deleted in MLflow, with their artifacts. Journals and models are kept: a run whose files the
registry needs is not removed.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from ..compat.mlflow import artifact_repository, remove_run_for_good
from ..errors import JournalError, TrackingError, redact_text
from ..events import CURVES
from ..history import History, load_history
from ..journal import find_owner
from .mlflow_layout import KEY_TAG
from .store import all_pages, default_uri, is_server, list_journals
from .study_runs import journal_key

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

logger = logging.getLogger("hpsearch.tracking")


@dataclass(frozen=True, slots=True)
class Garbage:
    """Removable files, folders or runs."""

    study: str
    what: str
    size: int  # bytes
    files: tuple[Path, ...] = ()
    runs: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()


def find_garbage(
    root: Path,
    client: MlflowClient,
    *,
    keep: int,
    in_use: Callable[[History], Collection[int]],
    everybodys: bool = False,
) -> list[Garbage]:
    """Find removable files below `root` and runs in its store.

    Args:
        root: The folder that holds `mlruns/`.
        client: Client of the store.
        keep: Number of best trials per study that keep their out-of-fold predictions.
        in_use: Returns the trials of a study whose predictions determine its winner.
        everybodys: Include deleted runs of other programs and, in a shared store, of other folders.

    Raises:
        TrackingError: If the registry cannot be read.
    """
    journals = list_journals(root)
    found = [g for journal in journals for g in _find_predictions(journal, keep, in_use)]
    if not is_server(client.tracking_uri):
        # A store elsewhere, a team's database perhaps, holds runs of other folders, too.
        shared = client.tracking_uri != default_uri(root) and not everybodys
        keys = {_study_key(journal) for journal in journals} if shared else None
        found += _find_deleted_runs(client, everybodys=everybodys, keys=keys)
    return found


def remove_garbage(garbage: Sequence[Garbage], client: MlflowClient) -> None:
    """Remove an item permanently.

    Raises:
        TrackingError: If MLflow cannot remove a run.
    """
    for item in garbage:
        for file in item.files:
            file.unlink(missing_ok=True)
        for folder in item.folders:
            shutil.rmtree(folder, ignore_errors=True)
        for run in item.runs:
            _remove_run(run, client)


def _find_predictions(
    journal: Path, keep: int, in_use: Callable[[History], Collection[int]]
) -> Iterator[Garbage]:
    try:
        history: History = load_history(journal, without=CURVES)
        owner = find_owner(journal)
    except JournalError as error:
        logger.warning("nothing of study %s is removed: %s", journal.parent.name, error)
        return
    if not owner and (files := find_unusable_checkpoints(journal.parent, history, keep)):
        size = sum(f.stat().st_size for f in files)
        yield Garbage(history.name, f"checkpoints of {len(files)} trials", size, files)
    if history.final is None:
        return
    if owner or history.asked_since_final:
        logger.warning("nothing of study %s is removed: it can continue", journal.parent.name)
        return
    needed = {t.number for t in history.ranked_trials()[:keep]} | {*in_use(history)}
    files = tuple(
        path
        for trial in history.attempts
        if trial.predictions is not None and trial.number not in needed
        if (path := journal.parent / trial.predictions).is_file()
    )
    if files:
        size = sum(f.stat().st_size for f in files)
        yield Garbage(history.name, f"predictions of {len(files)} trials", size, files)


def find_unusable_checkpoints(study: Path, history: History, keep: int) -> tuple[Path, ...]:
    """Find checkpoints that no trial of the journal can use.

    Of a finished study, also those of trials that are not among the `keep` best: it is unlikely
    that they will be trained further.
    """
    usable = [t for t in history.trials if t.state != "FAILED"]
    if history.final is not None and not history.asked_since_final:
        usable = history.ranked_trials()[:keep]
    kept = {f"{t.number:06d}" for t in usable}
    found = sorted((study / "checkpoints").glob("*.ckpt"))
    return tuple(path for path in found if path.stem not in kept)


def _study_key(journal: Path) -> str:
    """Return the key of a study; "-", which never matches, for a damaged journal."""
    try:
        return journal_key(journal) or "-"
    except JournalError:
        return "-"


def _find_deleted_runs(
    client: MlflowClient, *, everybodys: bool, keys: Collection[str] | None
) -> Iterator[Garbage]:
    """Find runs deleted in MLflow; if `keys` are given, only of these studies."""
    from mlflow.entities import ViewType

    registered = RegisteredRuns.from_client(client)
    ours = "" if everybodys else f"tags.`{KEY_TAG}` LIKE '%'"
    for experiment in client.search_experiments(view_type=ViewType.ALL):
        search = partial(client.search_runs, [experiment.experiment_id], ours)
        runs = list(all_pages(search, run_view_type=ViewType.DELETED_ONLY))
        if keys is not None:  # the run of a trial has KEY/TRIAL/ATTEMPT
            runs = [r for r in runs if r.data.tags[KEY_TAG].partition("/")[0] in keys]
        gone = [run for run in runs if not registered.contains(run)]
        if runs:
            size = sum(_folder_size(run.info.artifact_uri) for run in gone)
            ids = tuple(run.info.run_id for run in gone)
            kept = len(runs) - len(gone)
            needed = f"; {kept} more stay, since models of theirs are registered" if kept else ""
            yield Garbage(experiment.name, f"{len(gone)} deleted runs{needed}", size, runs=ids)


@dataclass(frozen=True, slots=True)
class RegisteredRuns:
    """The runs that contain files of registered model versions."""

    ids: frozenset[str]
    sources: tuple[str, ...]  # URIs of the versions' files

    @classmethod
    def from_client(cls, client: MlflowClient) -> RegisteredRuns:
        try:
            versions = list(all_pages(client.search_model_versions))
        except Exception as error:  # every backend raises its own kind
            raise TrackingError(
                f"{redact_text(client.tracking_uri)}: the registry does not say which runs it "
                "needs, "
                f"so nothing is removed: {redact_text(str(error))[:300]}"
            ) from None
        named = {version.tags.get("hpsearch.run", "") for version in versions}
        ids = frozenset(named | {version.run_id or "" for version in versions})
        return cls(ids, tuple(version.source or "" for version in versions))

    def contains(self, run: Run) -> bool:
        """Whether a registered version uses files of `run`."""
        inside = f"{run.info.artifact_uri}/"
        return run.info.run_id in self.ids or any(
            source.startswith(inside) or run.info.run_id in source for source in self.sources
        )


def _folder_size(artifacts: str) -> int:
    """Return the size of a local artifact folder in bytes."""
    url = urlparse(artifacts)
    folder = Path(url2pathname(url.path) if url.scheme == "file" else artifacts)
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def _remove_run(run_id: str, client: MlflowClient) -> None:
    """Remove one deleted run and its files permanently.

    `mlflow gc --run-ids` would also remove all deleted experiments and logged models, even ones
    that the registry needs.
    """
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
        if run.info.lifecycle_stage == "deleted":  # not restored meanwhile
            artifact_repository(run.info.artifact_uri).delete_artifacts()
            remove_run_for_good(client, run_id)
    except (MlflowException, OSError) as error:
        raise TrackingError(
            f"the run {run_id} could not be removed: {redact_text(str(error))[:300]}"
        ) from None
