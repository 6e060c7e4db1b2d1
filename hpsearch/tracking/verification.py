"""Whether a store has what the journal tells: run by run, and which runs lack something.

Two depths: `find_differences` compares what a search of runs gives (which runs there are, their
states, parameters, tags and metrics) and takes one request for a thousand runs;
`find_missing_points` and `find_missing_files` read every point and list the files. Nothing is
changed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..history import History
from ..journal import stream
from ..trial import Trial
from . import layout
from .artifact_store import list_run_files
from .bulk import BulkPoints
from .store import all_pages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Differences = dict[str, str]  # key of a run -> what it lacks
Place = tuple[str, int, int]  # metric, step and time of a point
PAGE = 1000  # runs a request


def find_runs(client: MlflowClient, experiment: str, history: History) -> Iterator[tuple[str, Run]]:
    """The runs of a study that the store has, deleted ones too, by their keys."""
    from mlflow.entities import ViewType

    for run in all_pages(
        client.search_runs,
        experiment_ids=[experiment],
        filter_string=f"tags.`{layout.KEY_TAG}` LIKE '{history.key}%'",
        run_view_type=ViewType.ALL,
        max_results=PAGE,
    ):
        yield run.data.tags[layout.KEY_TAG], run


def find_differences(
    client: MlflowClient, experiment: str, history: History
) -> tuple[Differences, dict[str, str], set[str]]:
    """What the store's runs lack of a study.

    A trial's run that somebody deleted lacks nothing: it was meant so.

    Returns:
        What is lacking, the ids of the runs that the store has, both by key, and the keys of those
        that were deleted.
    """
    known = {layout.trial_key(history, trial): trial for trial in history.attempts}
    expected = [history.key, *(key for key, trial in known.items() if was_sent(trial))]
    found: Differences = {}
    ids: dict[str, str] = {}
    deleted = set()
    for key, run in find_runs(client, experiment, history):
        if run.info.lifecycle_stage != "active":
            deleted.add(key)
        elif key == history.key or key in known:  # an attempt's, too, whose beginning was lost
            ids[key] = run.info.run_id
            is_study = key == history.key
            lacks = _study_lacks(run, history) if is_study else _trial_lacks(run, known[key])
            if lacks:
                found[key] = lacks
    deleted -= ids.keys()
    for key in expected:
        if key not in ids and key not in deleted:
            found[key] = "its run"
    return found, ids, deleted


def was_sent(trial: Trial) -> bool:
    """Whether an attempt has a run: one that nobody began to train has none."""
    return trial.started is not None or trial.state not in ("WAITING", "LOST")


def _trial_lacks(run: Run, trial: Trial) -> str:
    if trial.ended is not None and run.info.status != layout.RUN_STATUS[trial.state]:
        return f"its state ({run.info.status}, not {layout.RUN_STATUS[trial.state]})"
    metrics = dict.fromkeys(point.name for point in layout.result_points(trial))
    return _lacks(run, layout.trial_params(trial), layout.result_tags(trial), metrics)


def _study_lacks(run: Run, history: History) -> str:
    if history.final is not None and run.info.status != "FINISHED":
        return f"its state ({run.info.status}, not FINISHED)"
    points = [*layout.winner_points(history), *layout.final_points(history)]
    metrics = dict.fromkeys(point.name for point in points)
    return _lacks(run, layout.study_params(history), layout.outcome_tags(history), metrics)


def _lacks(
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


def find_missing_points(
    client: MlflowClient, journal: Path, until: int, ids: Mapping[str, str]
) -> Differences:
    """Which of the runs in `ids` lack points that the journal has up to `until` (bytes)."""
    bulk, history = BulkPoints.of(client), History()
    found: Differences = {}
    late: dict[str, set[Place]] = {}  # what trials got behind their results
    for record in stream(journal, until=until):
        for trial in history.apply(record):
            key = layout.trial_key(history, trial)
            if key not in ids or trial.ended is None:
                continue
            points = [*layout.curve_points(trial, history.metric, 0), *layout.result_points(trial)]
            late.setdefault(key, set()).update(map(_place, points))
            trial.condense()
            if record["event"] != "finalist":
                missing = late.pop(key) - _places(client, bulk, ids[key])
                if missing:
                    found[key] = f"{len(missing)} points"
    for trial in history.attempts:
        key = layout.trial_key(history, trial)
        if trial.ended is None and key in ids:  # the study was stopped under it
            late[key] = set(map(_place, layout.curve_points(trial, history.metric, 0)))
    for key, places in late.items():
        if missing := places - _places(client, bulk, ids[key]):
            found[key] = f"{len(missing)} points"
    if history.key in ids:
        wanted = {_place(point) for _, point in layout.best_points(history)}
        if missing := wanted - _places(client, bulk, ids[history.key], ["best_score"]):
            found[history.key] = f"{len(missing)} points"
    return found


def _place(point: layout.Point) -> Place:
    return point.name, point.step, point.time


def _places(
    client: MlflowClient, bulk: BulkPoints | None, run: str, names: list[str] | None = None
) -> set[Place]:
    """The points that a run has."""
    if bulk is not None:
        return bulk.places(run)
    names = names or list(client.get_run(run).data.metrics)
    return {
        (name, point.step, point.timestamp)
        for name in names
        for point in client.get_metric_history(run, name)
    }


def find_missing_files(
    client: MlflowClient, history: History, ids: Mapping[str, str]
) -> Differences:
    """Which runs lack a file that is made of the journal alone."""
    failed = [t for t in history.attempts if t.state == "FAILED" and t.error is not None]
    wanted = {history.key: {"spec.yaml", "environment.json"}}
    wanted |= {layout.trial_key(history, t): {"traceback.txt"} for t in failed if t.traceback}
    found: Differences = {}
    for key, names in wanted.items():
        if key in ids:
            missing = names - {file.path for file in list_run_files(client, ids[key])}
            if missing:
                found[key] = ", ".join(sorted(missing))
    return found
