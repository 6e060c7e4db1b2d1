"""Whether a store and a journal tell the same: run by run, what each has that the other has not.

Two depths: `compare_runs` compares what a search of runs gives (which runs there are, their
beginnings, states, parameters, tags and metrics) and takes one request for a thousand runs;
`compare_points` and `find_missing_files` read every point and list the files. Nothing is changed
here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..events import FinalistScored, WinnerChosen, WinnerEvaluated
from ..history import History
from ..journal import stream_records
from ..trial import Trial
from . import mlflow_layout
from .artifact_store import list_run_files
from .bulk_points import BulkPoints
from .store import all_pages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Differences = dict[str, str]  # key of a run -> what it lacks, or has too much
PointKey = tuple[str, int, int]  # metric, step and time of a point
PAGE = 1000  # runs a request


@dataclass(slots=True)
class StoreComparison:
    """How the runs of a store differ from a journal."""

    ids: dict[str, str] = field(default_factory=dict)  # key -> id of the run that the store has
    lacking: Differences = field(default_factory=dict)
    surplus: dict[str, tuple[str, str]] = field(default_factory=dict)  # id -> key, and why
    deleted: set[str] = field(default_factory=set)  # keys of trials' runs that somebody deleted

    def reject(self, run: str, key: str, why: str) -> None:
        """Count a run as one that the journal does not have, or has otherwise."""
        self.surplus[run] = (key, why)
        if self.ids.get(key) == run:
            del self.ids[key]


def find_runs(client: MlflowClient, experiment: str, history: History) -> Iterator[tuple[str, Run]]:
    """The runs of a study that the store has, deleted ones too, by their keys."""
    from mlflow.entities import ViewType

    for run in all_pages(
        client.search_runs,
        experiment_ids=[experiment],
        filter_string=f"tags.`{mlflow_layout.KEY_TAG}` LIKE '{history.key}%'",
        run_view_type=ViewType.ALL,
        max_results=PAGE,
    ):
        yield run.data.tags[mlflow_layout.KEY_TAG], run


def compare_runs(client: MlflowClient, experiment: str, history: History) -> StoreComparison:
    """How the store's runs of a study differ from its journal, as far as a search of runs tells.

    A trial's run that somebody deleted lacks nothing: it was meant so. A run that began at another
    time than the journal's trial of its number is that of another life: the journal was replaced by
    an older copy and went on.
    """
    known = {mlflow_layout.trial_key(history, trial): trial for trial in history.attempts}
    found = StoreComparison()
    for key, run in find_runs(client, experiment, history):
        run_id = str(run.info.run_id)
        if run.info.lifecycle_stage != "active":
            if not key.endswith(mlflow_layout.REPLACED):
                found.deleted.add(key)
        elif why := _why_not_ours(run, key, history, known):
            found.reject(run_id, key, why)
        else:
            lacks = (
                _missing_of_trial(run, known[key])
                if key in known
                else _missing_of_study(run, history)
            )
            if key in found.ids:  # of two, one that lacks nothing stays
                worse = run_id if lacks or not found.lacking[key] else found.ids[key]
                found.reject(worse, key, "it is there twice")
                if worse == run_id:
                    continue
            found.ids[key], found.lacking[key] = run_id, lacks
    found.deleted -= found.ids.keys()
    expected = [history.key, *(key for key, trial in known.items() if was_sent(trial))]
    for key in expected:
        if key not in found.ids and key not in found.deleted:
            found.lacking[key] = "its run"
    found.lacking = {key: lacks for key, lacks in found.lacking.items() if lacks}
    return found


def _why_not_ours(run: Run, key: str, history: History, known: Mapping[str, Trial]) -> str:
    """Why a run is not one of the journal's; "" where it is."""
    if key == history.key:
        return ""
    if key not in known or not was_sent(known[key]):
        return "the journal has no such trial"
    if run.info.start_time != mlflow_layout.start_time(known[key]):
        return "it began at another time than the journal's"
    return ""


def was_sent(trial: Trial) -> bool:
    """Whether an attempt has a run: one that did not start has none."""
    return trial.started is not None or trial.state not in ("WAITING", "LOST")


def _missing_of_trial(run: Run, trial: Trial) -> str:
    if trial.ended is not None and run.info.status != mlflow_layout.RUN_STATUS[trial.state]:
        return f"its state ({run.info.status}, not {mlflow_layout.RUN_STATUS[trial.state]})"
    metrics = dict.fromkeys(point.name for point in mlflow_layout.result_points(trial))
    return _describe_missing(
        run, mlflow_layout.trial_params(trial), mlflow_layout.result_tags(trial), metrics
    )


def _missing_of_study(run: Run, history: History) -> str:
    if history.final is not None and run.info.status != "FINISHED":
        return f"its state ({run.info.status}, not FINISHED)"
    metrics = dict.fromkeys(point.name for point in _outcome_points(history))
    return _describe_missing(
        run, mlflow_layout.study_params(history), mlflow_layout.outcome_tags(history), metrics
    )


def _describe_missing(
    run: Run, params: Mapping[str, str], tags: Mapping[str, str], metrics: Mapping[str, None]
) -> str:
    """What a run has not, or has otherwise."""
    held = (run.data.params, run.data.tags)
    for kind, wanted, has in zip(("parameter", "tag"), (params, tags), held, strict=True):
        for name, value in wanted.items():
            if has.get(name) != value:
                return f"{kind} {name!r}"
    missing = [name for name in metrics if name not in run.data.metrics]
    return f"metric {missing[0]!r}" if missing else ""


def compare_points(
    client: MlflowClient, journal: Path, until: int | None, ids: Mapping[str, str]
) -> tuple[Differences, Differences]:
    """Which of the runs in `ids` lack points of the journal up to `until` (bytes), or have others.

    Of points that are not the journal's those count whose metrics hpsearch writes.
    """
    bulk, history = BulkPoints.for_client(client), History()
    missing: Differences = {}
    surplus: Differences = {}
    late: dict[str, set[PointKey]] = {}  # what trials got behind their results
    outcomes: set[PointKey] = set()  # of every end that the study has had

    def compare(key: str, wanted: set[PointKey], is_ours: Callable[[str], bool]) -> None:
        held = {
            point for point in _stored_points(client, bulk, ids[key], is_ours) if is_ours(point[0])
        }
        if wanted - held:
            missing[key] = f"{len(wanted - held)} points"
        if more := held - wanted - outcomes:
            surplus[key] = f"{len(more)} of its points are not in the journal"

    for event in stream_records(journal, until=until):
        for trial in history.apply(event):
            key = mlflow_layout.trial_key(history, trial)
            if key not in ids or trial.ended is None:
                continue
            points = [
                *mlflow_layout.curve_points(trial, history.metric, 0),
                *mlflow_layout.result_points(trial),
            ]
            late.setdefault(key, set()).update(map(_point_key, points))
            trial.drop_curves()
            if not isinstance(event, FinalistScored):
                compare(key, late.pop(key), mlflow_layout.is_trial_metric)
        if isinstance(event, WinnerChosen | WinnerEvaluated):
            outcomes |= set(map(_point_key, _outcome_points(history)))
    for trial in history.attempts:
        key = mlflow_layout.trial_key(history, trial)
        if trial.ended is None and key in ids:  # the study was stopped under it
            keys = set(map(_point_key, mlflow_layout.curve_points(trial, history.metric, 0)))
            compare(key, keys, mlflow_layout.is_trial_metric)
    for key, keys in late.items():  # of finalists, only the second score is new
        second_scores = {k for k in keys if k[0] == mlflow_layout.FINALIST_SCORE}
        compare(key, second_scores, mlflow_layout.FINALIST_SCORE.__eq__)
    if history.key in ids:
        wanted = {_point_key(point) for _, point in mlflow_layout.best_points(history)}
        wanted |= set(map(_point_key, _outcome_points(history)))
        compare(history.key, wanted, mlflow_layout.is_study_metric)
    return missing, surplus


def _outcome_points(history: History) -> Iterator[mlflow_layout.MetricPoint]:
    yield from mlflow_layout.winner_points(history)
    yield from mlflow_layout.final_points(history)


def _point_key(point: mlflow_layout.MetricPoint) -> PointKey:
    return point.name, point.step, point.time


def _stored_points(
    client: MlflowClient, bulk: BulkPoints | None, run: str, is_wanted: Callable[[str], bool]
) -> set[PointKey]:
    """The points that a run has, of the wanted metrics at least."""
    if bulk is not None:
        return bulk.point_keys(run)
    return {
        (name, point.step, point.timestamp)
        for name in filter(is_wanted, client.get_run(run).data.metrics)
        for point in client.get_metric_history(run, name)
    }


def find_missing_files(
    client: MlflowClient, history: History, ids: Mapping[str, str]
) -> Differences:
    """Which runs lack a file that is made of the journal alone."""
    failed = [t for t in history.attempts if t.state == "FAILED" and t.error is not None]
    wanted = {history.key: {"spec.yaml", "environment.json"}}
    wanted |= {
        mlflow_layout.trial_key(history, t): {"traceback.txt"} for t in failed if t.traceback
    }
    found: Differences = {}
    for key, names in wanted.items():
        if key in ids:
            missing = names - {file.path for file in list_run_files(client, ids[key])}
            if missing:
                found[key] = ", ".join(sorted(missing))
    return found
