"""Find the run of a study in a store.

The experiment has the study's name, which several users may share on one server. Their studies are
distinguished by the journal's random key (`hpsearch.key`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import TrackingError, redact_text
from ..events import StudyCreated
from ..journal import stream_records
from .mlflow_layout import KEY_TAG
from .store import all_pages, find_experiment, uri_option

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PAGE = 1000  # runs a request
IS_STUDY = "tags.`hpsearch.kind` = 'study'"


@dataclass(frozen=True, slots=True)
class StudyRun:
    """The run of one study."""

    run_id: str
    experiment_id: str
    key: str  # of the study's journal; "" of a run that has none
    owner: str
    host: str
    started: int  # milliseconds since the epoch
    score: float | None  # the winner's, or the best one so far

    def __str__(self) -> str:
        started = datetime.fromtimestamp(self.started / 1000).strftime("%Y-%m-%d %H:%M")
        score = "no score yet" if self.score is None else f"score {self.score:.4f}"
        host = f" on {self.host}" if self.host else ""
        return f"{self.key or self.run_id}  {self.owner or 'unknown'}{host}, {started}, {score}"


def journal_key(journal: Path) -> str:
    """Return the key of the study in `journal`; "" if there is none.

    Raises:
        JournalError: If the journal is damaged.
    """
    first = next(stream_records(journal), None) if journal.exists() else None
    return first.key if isinstance(first, StudyCreated) else ""


def list_study_runs(client: MlflowClient, study: str) -> list[StudyRun]:
    """List the runs of all studies with this name, newest first."""
    experiment = find_experiment(client, study)
    return (
        []
        if experiment is None
        else _search_study_runs(client, [experiment.experiment_id], IS_STUDY)
    )


def _find_by_key(client: MlflowClient, key: str) -> list[StudyRun]:
    """Find a study's run by key, even if its experiment was renamed."""
    experiments = [e.experiment_id for e in all_pages(client.search_experiments)]
    return (
        _search_study_runs(client, experiments, f"tags.`{KEY_TAG}` = '{key}'")
        if experiments
        else []
    )


def _search_study_runs(client: MlflowClient, experiments: list[str], text: str) -> list[StudyRun]:
    order = ["attributes.start_time DESC"]
    search = partial(client.search_runs, experiments, text, order_by=order, max_results=PAGE)
    return [_study_run(run) for run in all_pages(search)]


def find_study_run(
    client: MlflowClient, study: str, *, key: str = "", journal: Path | None = None
) -> StudyRun:
    """The run of one study.

    Args:
        client: Of the store.
        study: The study's name.
        key: The journal's key, or a unique prefix of it.
        journal: The study's journal in this folder; used if no key is given.

    Raises:
        TrackingError: If the store has no such study, or several.
    """
    runs = list_study_runs(client, study)
    where = redact_text(client.tracking_uri)
    own = "" if key or journal is None else journal_key(journal)
    wanted = key or own
    found = [run for run in runs if run.key.startswith(wanted)] if wanted else runs
    if own and not found:
        found = _find_by_key(client, own)
    if len(found) == 1:
        return found[0]
    if found:
        raise TrackingError(
            f"{where} has {len(found)} studies of the name {study!r}. Say which one with --key:\n"
            + _format_runs(found)
        )
    if own and journal is not None:
        option = uri_option(client.tracking_uri, journal.parents[3])
        raise TrackingError(
            f"{where} does not have the study {study!r} of this folder (key {own}). Send it: "
            f"hpsearch sync {study}{option}" + _describe_others(study, runs)
        )
    if key:
        raise TrackingError(
            f"{where} has no study {study!r} of key {key!r}." + _describe_others(study, runs)
        )
    raise TrackingError(
        f"{where} has no study {study!r}. Run it first: hpsearch tune SPEC, or name the store with "
        "--tracking-uri."
    )


def _describe_others(study: str, runs: Sequence[StudyRun]) -> str:
    if not runs:
        return ""
    return f"\nOf the name {study!r} it has (--key KEY takes one of them):\n{_format_runs(runs)}"


def _format_runs(runs: Sequence[StudyRun]) -> str:
    return "\n".join(f"  {run}" for run in runs)


def _study_run(run: Run) -> StudyRun:
    tags, metrics = run.data.tags, run.data.metrics
    return StudyRun(
        run_id=str(run.info.run_id),
        experiment_id=str(run.info.experiment_id),
        key=tags.get(KEY_TAG, ""),
        owner=tags.get("mlflow.user", ""),
        host=tags.get("host", ""),
        started=int(run.info.start_time),
        score=metrics.get("winner_score", metrics.get("best_score")),
    )
