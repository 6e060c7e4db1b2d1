"""Delete a study: its folder permanently, and its runs in MLflow until `gc`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import HpsearchError, redact_text
from ..events import CURVES
from ..history import load_history
from ..journal import take_lock
from .database import database_path
from .garbage import RegisteredRuns
from .mlflow_layout import KEY_TAG
from .store import all_pages, open_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True, slots=True)
class Deletion:
    """The data that deleting a study removes."""

    journal: Path
    trials: int
    size: int  # bytes of the folder
    client: MlflowClient | None  # None: there is no store
    runs: tuple[str, ...]  # in MLflow, those of trials first

    def describe(self) -> str:
        """Describe what will be deleted, for the confirmation."""
        name = self.journal.parent.name
        text = f"{name}: {self.trials} trials, {self.size / 1e6:,.1f} MB in {self.journal.parent}"
        if self.client is not None:
            where = redact_text(self.client.tracking_uri)
            text += f"; {len(self.runs)} runs in {where} (restorable there until gc)"
        return text


def plan_deletion(journal: Path, uri: str, *, force: bool) -> Deletion:
    """Find what deleting a study removes; nothing is changed.

    Args:
        journal: The study's journal.
        uri: The store with its runs.
        force: Also delete a study with a registered model.

    Raises:
        HpsearchError: If the study is running, its model is registered, or its journal is damaged.
        TrackingError: If the store does not answer.
    """
    take_lock(journal).release()
    history = load_history(journal, without=CURVES)
    client = _open_existing(uri)
    runs = list(_find_runs(client, history.key)) if client else []
    if not force and (history.promotions or _has_registered_model(client, runs)):
        names = ", ".join(dict.fromkeys(promotion.name for promotion in history.promotions))
        raise HpsearchError(
            f"{history.name}: its model is registered{f' as {names}' if names else ''}. It would "
            "stay in the registry, but how it was found would be gone: --force deletes the study "
            "anyway."
        )
    files = [path for path in journal.parent.rglob("*") if path.is_file()]
    return Deletion(
        journal=journal,
        trials=len(history.last),
        size=sum(path.stat().st_size for path in files),
        client=client,
        runs=tuple(run.info.run_id for run in runs),
    )


def delete_study(plan: Deletion) -> None:
    """Mark the runs deleted, then remove the folder, its journal last.

    After an interruption, `hpsearch delete` can be called again.

    Raises:
        JournalError: If the study is running.
        OSError: If a file cannot be removed.
    """
    folder = plan.journal.parent
    with take_lock(plan.journal) as lock:
        if plan.client is not None:
            for run in plan.runs:
                plan.client.delete_run(run)
        last = (plan.journal, lock.path)
        for path in sorted(folder.iterdir()):
            if path in last:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        plan.journal.unlink()
    plan.journal.with_suffix(".lock").unlink(missing_ok=True)
    folder.rmdir()


def _has_registered_model(client: MlflowClient | None, runs: Sequence[Run]) -> bool:
    if client is None or not runs:
        return False
    versions = RegisteredRuns.from_client(client)
    return any(map(versions.contains, runs))


def _open_existing(uri: str) -> MlflowClient | None:
    path = database_path(uri)
    return None if path is not None and not path.exists() else open_store(uri)


def _find_runs(client: MlflowClient, key: str) -> Iterator[Run]:
    """Find the active runs of a study, those of its trials first."""
    experiments = [e.experiment_id for e in all_pages(client.search_experiments)]
    if not key or not experiments:
        return
    for wanted in (f"LIKE '{key}/%'", f"= '{key}'"):
        search = partial(client.search_runs, experiments, f"tags.`{KEY_TAG}` {wanted}")
        yield from all_pages(search)
