"""Compare a store with a journal, run by run.

`compare_runs` compares the results of a search of runs (existence, start, state, params, tags and
metrics) with one request per thousand runs; `compare_points` and `find_missing_files` read every
point and list the files. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..compat.mlflow import ALL_RUNS
from ..events import CURVES, FinalistScored, TrialExtended, WinnerChosen, WinnerEvaluated
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

Differences = dict[str, str]  # key of a run -> what it lacks, or has in surplus
PointKey = tuple[str, int, int]  # metric, step and time of a point
PAGE = 1000  # runs a request


@dataclass(slots=True)
class StoreComparison:
    """Differences between the runs of a store and a journal."""

    ids: dict[str, str] = field(default_factory=dict)  # key -> id of the run that the store has
    lacking: Differences = field(default_factory=dict)
    surplus: dict[str, tuple[str, str]] = field(default_factory=dict)  # id -> key, and why
    deleted: set[str] = field(default_factory=set)  # keys of trial runs deleted in MLflow

    def reject(self, run: str, key: str, why: str) -> None:
        """Record a run that is not the journal's."""
        self.surplus[run] = (key, why)
        if self.ids.get(key) == run:
            del self.ids[key]


def find_runs(client: MlflowClient, experiment: str, history: History) -> Iterator[tuple[str, Run]]:
    """Find the runs of a study by key, including deleted ones."""
    for run in all_pages(
        client.search_runs,
        experiment_ids=[experiment],
        filter_string=f"tags.`{mlflow_layout.KEY_TAG}` LIKE '{history.key}%'",
        run_view_type=ALL_RUNS,
        max_results=PAGE,
    ):
        yield run.data.tags[mlflow_layout.KEY_TAG], run


def compare_runs(client: MlflowClient, experiment: str, history: History) -> StoreComparison:
    """Compare the store's runs of a study with its journal, using a search of runs.

    A deleted trial run is not reported as missing. A run with another start time than the journal's
    trial belongs to a replaced journal: an older copy was restored and continued.
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
                _missing_of_trial(run, history, known[key])
                if key in known
                else _missing_of_study(run, history)
            )
            if key in found.ids:  # of duplicates, keep a complete one
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
    """Explain why a run is not the journal's; "" if it is."""
    if key == history.key:
        return ""
    if key not in known or not was_sent(known[key]):
        return "the journal has no such trial"
    if run.info.start_time != mlflow_layout.start_time(known[key]):
        return "it began at another time than the journal's"
    return ""


def was_sent(trial: Trial) -> bool:
    """Whether an attempt has a run; one that never started has none."""
    return trial.started is not None or trial.state not in ("WAITING", "LOST")


def _missing_of_trial(run: Run, history: History, trial: Trial) -> str:
    if trial.ended is not None and run.info.status != mlflow_layout.RUN_STATUS[trial.state]:
        return f"its state ({run.info.status}, not {mlflow_layout.RUN_STATUS[trial.state]})"
    metrics = dict.fromkeys(point.name for point in mlflow_layout.result_points(history, trial))
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
    """Describe missing or differing values of a run."""
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
    """Compare the points of runs in `ids` with the journal up to `until` (bytes).

    Surplus points count only for metrics that hpsearch writes.
    """
    extended = {
        event.trial
        for event in stream_records(journal, until=until, without=CURVES)
        if isinstance(event, TrialExtended)
    }
    history = History()
    points = _PointComparison(client, ids)
    for event in stream_records(journal, until=until):
        for trial in history.apply(event):
            if trial.ended is None:
                continue
            points.add(history, trial)
            trial.drop_curves()
            if not isinstance(event, FinalistScored) and trial.number not in extended:
                points.compare_trial(mlflow_layout.trial_key(history, trial))
        if isinstance(event, WinnerChosen | WinnerEvaluated):
            points.outcomes |= set(map(_point_key, _outcome_points(history)))
    _compare_unended(points, history, extended)
    return points.missing, points.surplus


def _compare_unended(points: _PointComparison, history: History, extended: set[int]) -> None:
    """Compare what is known only at the end of the journal."""
    for number in extended:  # its run has the points of all its results
        points.add(history, history.latest(number))
        points.compare_trial(mlflow_layout.trial_key(history, history.last[number]))
    for trial in history.attempts:
        if trial.ended is None:  # the study was stopped during the trial
            key = mlflow_layout.trial_key(history, trial)
            keys = set(map(_point_key, mlflow_layout.curve_points(history, trial, 0)))
            points.compare(key, keys, mlflow_layout.is_trial_metric)
    for key, keys in points.expected.items():  # of finalists, only the second score is new
        second_scores = {k for k in keys if k[0] == mlflow_layout.FINALIST_SCORE}
        points.compare(key, second_scores, mlflow_layout.FINALIST_SCORE.__eq__)
    wanted = {_point_key(point) for _, point in mlflow_layout.best_points(history)}
    wanted |= set(map(_point_key, _outcome_points(history)))
    points.compare(history.key, wanted, mlflow_layout.is_study_metric)


class _PointComparison:
    """Compares points of the store's runs with those that the journal has."""

    def __init__(self, client: MlflowClient, ids: Mapping[str, str]) -> None:
        self._client, self._ids = client, ids
        self._bulk = BulkPoints.for_client(client)
        self.missing: Differences = {}
        self.surplus: Differences = {}
        self.expected: dict[str, set[PointKey]] = {}  # not yet compared, by the key of a run
        self.outcomes: set[PointKey] = set()  # of every end of the study so far

    def add(self, history: History, trial: Trial) -> None:
        """Add the points of a trial's curve and result to those of its run."""
        points = [
            *mlflow_layout.curve_points(history, trial, 0),
            *mlflow_layout.result_points(history, trial),
        ]
        key = mlflow_layout.trial_key(history, trial)
        self.expected.setdefault(key, set()).update(map(_point_key, points))

    def compare_trial(self, key: str) -> None:
        """Compare a trial's run with the points that were added."""
        self.compare(key, self.expected.pop(key, set()), mlflow_layout.is_trial_metric)

    def compare(self, key: str, wanted: set[PointKey], is_ours: Callable[[str], bool]) -> None:
        """Compare the points of a run, if the store has it, for metrics that `is_ours` takes."""
        if key not in self._ids:
            return
        stored = _stored_points(self._client, self._bulk, self._ids[key], is_ours)
        held = {point for point in stored if is_ours(point[0])}
        if wanted - held:
            self.missing[key] = f"{len(wanted - held)} points"
        if more := held - wanted - self.outcomes:
            self.surplus[key] = f"{len(more)} of its points are not in the journal"


def _outcome_points(history: History) -> Iterator[mlflow_layout.MetricPoint]:
    yield from mlflow_layout.winner_points(history)
    yield from mlflow_layout.final_points(history)


def _point_key(point: mlflow_layout.MetricPoint) -> PointKey:
    return point.name, point.step, point.time


def _stored_points(
    client: MlflowClient, bulk: BulkPoints | None, run: str, is_wanted: Callable[[str], bool]
) -> set[PointKey]:
    """Read the points of a run, at least of the wanted metrics."""
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
    """Find runs that lack a file derived from the journal."""
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
