"""The view of a study's trials that MLflow's page of runs is opened with.

MLflow keeps the views of that page ("Views" beside its search field) as tags of the experiment: a
name, two times and the state of the page as JSON. This one shows the trials flat, the best first,
with their scores, states and hyperparameters, and charts of scores and curves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..history import History
from .mlflow_layout import GREATER_IS_BETTER_TAG, KEY_TAG, metric_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from .study_runs import StudyRun

VIEW_TAG = "mlflow.sharedViewState."  # the prefix of the tags that hold views
MAX_VIEW_PARAMS = 16  # columns of hyperparameters; MLflow's limit of a tag is 5,000 characters
SECTION = "hpsearch"  # the id of the charts' section
MODEL_TRAINING = "workflowType=machine_learning"  # the other kind is for generative AI
EXPERIMENTS_PAGE = f"#/experiments?{MODEL_TRAINING}"


def view_id(key: str) -> str:
    """Return the id, used in page addresses, of the view of the study with this key.

    Shorter than what is taken for a secret and hidden where it is printed.
    """
    return f"trials-{key[:8]}"


def view_tag(history: History) -> tuple[str, str]:
    """The experiment's tag with the view of a study: its name and its value."""
    created = history.study.time
    view = {
        "name": f"{history.name}: trials, the best first",
        "createdAt": created,
        "updatedAt": created,
        "state": json.dumps(_page_state(history), separators=(",", ":")),
    }
    return VIEW_TAG + view_id(history.key), json.dumps(view)


def find_runs_page(client: MlflowClient, run: StudyRun) -> str:
    """The part of an address after `/` that shows the trials of a study, the best first.

    A study that an earlier version sent has no view in its experiment: the page shows all of the
    experiment then, sorted by score.
    """
    experiment = client.get_experiment(run.experiment_id)
    query = f"viewStateShareKey={view_id(run.key)}"
    if VIEW_TAG + view_id(run.key) not in experiment.tags:
        greater = experiment.tags.get(GREATER_IS_BETTER_TAG) != "False"
        query = f"orderByKey=metrics.%60score%60&orderByAsc={str(not greater).lower()}"
    return f"#/experiments/{run.experiment_id}/runs?{query}&{MODEL_TRAINING}"


def _page_state(history: History) -> dict[str, Any]:
    space = _search_space(history)
    metrics = ["score", "score_std", "best_epoch", "seconds"]
    columns = [
        "tags.`state`",
        *(f"metrics.`{name}`" for name in metrics),
        *(f"params.`{metric_name(name)}`" for name in space),
    ]
    return {
        "searchFilter": f"tags.`{KEY_TAG}` LIKE '{history.key}/%'",
        "orderByKey": "metrics.`score`",
        "orderByAsc": not history.maximize,
        "selectedColumns": columns,
        "columnOrder": columns,
        "compareRunCharts": _charts(history, space),
        "compareRunSections": [
            {"uuid": SECTION, "name": "Search", "display": True, "isReordered": True}
        ],
        "isAccordionReordered": True,
    }


def _search_space(history: History) -> dict[str, Any]:
    """The first hyperparameters that are searched, and how they are declared, if they are.

    A user's model may ask for others: those of the first trials are added.
    """
    study = history.study
    declared = dict((study.resolved or study.spec).get("search_space") or {})
    asked: dict[str, Any] = {name: {} for trial in history.trials[:10] for name in trial.params}
    searched = {name: how for name, how in (asked | declared).items() if not _is_fixed(how)}
    return dict(list(searched.items())[:MAX_VIEW_PARAMS])


def _is_fixed(declared: Any) -> bool:
    if isinstance(declared, Mapping):
        return declared.get("type") == "fixed"
    return not isinstance(declared, list)  # a bare value; a list is a choice


def _charts(history: History, space: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Curves of the objective and the loss, and parallel coordinates.

    MLflow draws the runs that have all coordinates: hyperparameters with a condition are left out.
    """
    curves = dict.fromkeys([f"val/{history.metric}", "val/loss"])
    charts: list[dict[str, Any]] = [
        {"type": "LINE", "metricKey": metric_name(name), "displayName": name} for name in curves
    ]
    shared = [
        metric_name(name)
        for name, declared in space.items()
        if not (isinstance(declared, Mapping) and declared.get("when"))
    ]
    charts.append({"type": "PARALLEL", "selectedParams": shared, "selectedMetrics": ["score"]})
    common = {
        "metricSectionId": SECTION,
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 10,
    }
    return [{"uuid": f"{SECTION}-{i}", **common, **chart} for i, chart in enumerate(charts)]
